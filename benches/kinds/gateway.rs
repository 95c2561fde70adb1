//! What a gateway that speaks RFC 2217 says, and an echo at its serial port.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// RFC 854; the option and its answers, which are the requests' numbers and 100, are RFC 2217's.
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const ANSWER: u8 = 100;

pub(crate) async fn echo(mut stream: TcpStream) {
    let (mut buffer, mut heard) = ([0; 4096], Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        heard.extend_from_slice(&buffer[..read]);
        let mut said = Vec::with_capacity(heard.len());
        let mut rest = heard.as_slice();
        while let Some(after) = answer(rest, &mut said) {
            rest = after;
        }
        heard = rest.to_vec();
        if stream.write_all(&said).await.is_err() {
            return;
        }
    }
}

/// Takes one thing off the front, unless it is not all there yet.
fn answer<'a>(heard: &'a [u8], said: &mut Vec<u8>) -> Option<&'a [u8]> {
    match *heard {
        [IAC, SB, option, command, ..] => {
            let end = heard.windows(2).position(|pair| pair == [IAC, SE])?;
            said.extend_from_slice(&[IAC, SB, option, command + ANSWER]);
            said.extend_from_slice(&heard[4..end]);
            said.extend_from_slice(&[IAC, SE]);
            Some(&heard[end + 2..])
        }
        [IAC, SB, ..] | [IAC] | [IAC, DONT..=u8::MAX] => None,
        [IAC, WILL, option, ..] => {
            said.extend_from_slice(&[IAC, DO, option]);
            Some(&heard[3..])
        }
        [IAC, DO, option, ..] => {
            said.extend_from_slice(&[IAC, WILL, option]);
            Some(&heard[3..])
        }
        [IAC, _, ..] => Some(&heard[2..]),
        [byte, ..] => {
            said.push(byte);
            Some(&heard[1..])
        }
        [] => None,
    }
}
