//! A matrix switcher with eight inputs and four outputs, as the manual describes it: it asks for the password if it has one,
//! tags what it says in verbose mode 3, and tells everybody else in that mode what one of them changes.

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

use crate::Options;

const INPUTS: usize = 8;
const OUTPUTS: usize = 4;
const PRESETS: usize = 16;

/// The switcher as a device that connections share.
pub struct Emulator {
    password: Option<Secret>,
    matrix: RefCell<Matrix>,
    /// Who is told of changes, by the number of the session.
    verbose: RefCell<BTreeMap<u32, DeviceWriter>>,
    sessions: Cell<u32>,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        Ok(Emulator {
            password: settings.password,
            matrix: RefCell::default(),
            verbose: RefCell::default(),
            sessions: Cell::new(0),
        })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        let number = self.sessions.get();
        self.sessions.set(number + 1);
        let result = self.serve(number, &mut stream).await;
        self.verbose.borrow_mut().remove(&number);
        result
    }
}

impl Emulator {
    async fn serve(&self, number: u32, stream: &mut DeviceStream) -> Result {
        stream
            .send("\r\n(c) Copyright 2020, Extron Electronics, Emulated CrossPoint 84, V1.07, 60-0000-01\r\n")
            .await?;
        let mut received = Vec::new();
        if let Some(password) = &self.password {
            loop {
                stream.send("\r\nPassword:").await?;
                let Some(line) = next(stream, &mut received, |bytes| end_of(bytes, b'\r')).await? else {
                    return Ok(());
                };
                if line == password.reveal() {
                    break;
                }
            }
            stream.send("\r\nLogin Administrator\r\n").await?;
        }
        while let Some(command) = next(stream, &mut received, command).await? {
            let tagged = self.verbose.borrow().contains_key(&number);
            match command.as_str() {
                "\x1b3CV" => {
                    self.verbose.borrow_mut().insert(number, stream.writer());
                    stream.send("Vrb3\r\n").await?;
                }
                "\x1b0CV" => {
                    self.verbose.borrow_mut().remove(&number);
                    stream.send("Vrb0\r\n").await?;
                }
                command => {
                    let answer = self.matrix.borrow_mut().obey(command);
                    match answer {
                        Ok(answer) => {
                            let said = if tagged { &answer.tagged } else { &answer.plain };
                            stream.send(format!("{said}\r\n")).await?;
                            if answer.change {
                                self.tell(number, &answer.tagged).await;
                            }
                        }
                        Err(error) => stream.send(format!("{error}\r\n")).await?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells everybody but one. Whoever has gone in this moment needs it no more.
    async fn tell(&self, but: u32, line: &str) {
        let others: Vec<DeviceWriter> = self
            .verbose
            .borrow()
            .iter()
            .filter(|(number, _)| **number != but)
            .map(|(_, to)| to.clone())
            .collect();
        for other in others {
            let _ = other.send(format!("{line}\r\n")).await;
        }
    }
}

/// The next command, of which `length` finds the end.
async fn next(
    stream: &mut DeviceStream,
    received: &mut Vec<u8>,
    length: fn(&[u8]) -> Option<usize>,
) -> Result<Option<String>> {
    loop {
        let blank = received.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        received.drain(..blank);
        if let Some(length) = length(received) {
            let command: Vec<u8> = received.drain(..length).collect();
            return Ok(Some(String::from_utf8_lossy(&command).trim_end_matches('\r').to_owned()));
        }
        let Some(bytes) = stream.next().await? else { return Ok(None) };
        received.extend_from_slice(&bytes);
    }
}

/// A command begins with Escape and ends with a carriage return, or ends with the first thing that is neither digit nor star.
fn command(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        0x1b => end_of(bytes, b'\r'),
        _ => bytes.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'*').map(|at| at + 1),
    }
}

fn end_of(bytes: &[u8], last: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == last).map(|at| at + 1)
}

/// What is said to a command, with and without its tag, and whether others are told too.
#[derive(Debug, PartialEq)]
struct Answer {
    tagged: String,
    plain: String,
    change: bool,
}

fn said(tagged: String) -> Result<Answer, &'static str> {
    Ok(Answer { plain: tagged.clone(), tagged, change: true })
}

fn value(tagged: String, plain: impl ToString) -> Result<Answer, &'static str> {
    Ok(Answer { tagged, plain: plain.to_string(), change: false })
}

type Ties = [usize; OUTPUTS];

struct Matrix {
    /// Pictures, sound.
    ties: [Ties; 2],
    mutes: [[bool; OUTPUTS]; 2],
    volume: [usize; OUTPUTS],
    presets: BTreeMap<usize, [Ties; 2]>,
}

impl Default for Matrix {
    fn default() -> Self {
        Matrix {
            ties: [[1; OUTPUTS]; 2],
            mutes: Default::default(),
            volume: [64; OUTPUTS],
            presets: BTreeMap::new(),
        }
    }
}

impl Matrix {
    fn obey(&mut self, command: &str) -> Result<Answer, &'static str> {
        if let Some(ties) = command.strip_prefix("\x1b+Q") {
            let ties: Vec<_> =
                ties.split_inclusive(['!', '%', '$', '&']).map(tie).collect::<Result<_, _>>()?;
            ties.into_iter().for_each(|(input, outputs, layer)| self.tie(input, outputs, layer));
            return said("Qik".into());
        }
        let letter = command.chars().last().ok_or("E10")?.to_ascii_uppercase();
        let (head, _) = command.split_at(command.len() - letter.len_utf8());
        let numbers: Vec<Option<usize>> = head.split('*').map(|number| number.parse().ok()).collect();
        match (letter, &numbers[..]) {
            ('!' | '%' | '$' | '&', [Some(_), to]) => {
                let (input, outputs, layer) = tie(command)?;
                self.tie(input, outputs, layer);
                let about = to.map_or(String::new(), |output| format!("Out{output} "));
                said(format!("{about}In{input} {layer}"))
            }
            ('%' | '$', [Some(output)]) => {
                let (layer, name) = if letter == '%' { (0, "Vid") } else { (1, "Aud") };
                let input = self.ties[layer][index(*output)?];
                value(format!("Out{output} In{input} {name}"), input)
            }
            ('B' | 'Z', numbers) => {
                let (layer, name) = if letter == 'B' { (0, "Vmt") } else { (1, "Amt") };
                let mutes = &mut self.mutes[layer];
                match numbers {
                    [Some(output)] => {
                        let on = u8::from(mutes[index(*output)?]);
                        value(format!("{name}{output}*{on}"), on)
                    }
                    [Some(on @ (0 | 1)), None] => {
                        *mutes = [*on == 1; OUTPUTS];
                        said(format!("{name}{on}"))
                    }
                    [Some(output), Some(on @ (0 | 1))] => {
                        mutes[index(*output)?] = *on == 1;
                        said(format!("{name}{output}*{on}"))
                    }
                    [Some(_), Some(_)] => Err("E13"),
                    _ => Err("E10"),
                }
            }
            ('V', [Some(output)]) => {
                let steps = self.volume[index(*output)?];
                value(format!("Out{output} Vol{steps}"), steps)
            }
            ('V', [Some(_), Some(65..)]) => Err("E13"),
            ('V', [Some(output), Some(steps)]) => {
                self.volume[index(*output)?] = *steps;
                said(format!("Out{output} Vol{steps}"))
            }
            (',' | '.', [Some(0 | PRESETS..)]) => Err("E11"),
            (',', [Some(preset)]) => {
                self.presets.insert(*preset, self.ties);
                said(format!("Spr{preset}"))
            }
            ('.', [Some(preset)]) => {
                self.ties = self.presets.get(preset).copied().unwrap_or(self.ties);
                said(format!("Rpr{preset}"))
            }
            ('I', [None]) => {
                let size = format!("V{INPUTS}X{OUTPUTS} A{INPUTS}X{OUTPUTS}");
                value(format!("Inf00*{size}"), size)
            }
            ('N', [None]) => value("Pno60-0000-01".into(), "60-0000-01"),
            ('Q', [None]) => value("Ver01*1.07".into(), "1.07"),
            _ => Err("E10"),
        }
    }

    fn tie(&mut self, input: usize, outputs: std::ops::Range<usize>, layer: &str) {
        for output in outputs {
            if layer != "Aud" {
                self.ties[0][output] = input;
            }
            if layer != "Vid" && layer != "RGB" {
                self.ties[1][output] = input;
            }
        }
    }
}

/// `3*4!`, `3*!`: an input, the outputs counted from 0, and the name of what is tied.
fn tie(command: &str) -> Result<(usize, std::ops::Range<usize>, &'static str), &'static str> {
    let (input, rest) = command.split_once('*').ok_or("E10")?;
    let (output, sign) = rest.split_at_checked(rest.len().saturating_sub(1)).ok_or("E10")?;
    let input = input.parse().ok().filter(|input| *input <= INPUTS).ok_or("E01")?;
    let outputs = match output {
        "" => 0..OUTPUTS,
        output => {
            let output = index(output.parse().map_err(|_| "E12")?)?;
            output..output + 1
        }
    };
    let layer = match sign {
        "!" => "All",
        "%" => "Vid",
        "&" => "RGB",
        "$" => "Aud",
        _ => return Err("E10"),
    };
    Ok((input, outputs, layer))
}

fn index(output: usize) -> Result<usize, &'static str> {
    (1..=OUTPUTS).contains(&output).then(|| output - 1).ok_or("E12")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_mutes_volumes_and_presets() {
        let mut matrix = Matrix::default();
        for (command, expected) in [
            ("3*4!", Ok("Out4 In3 All")),
            ("5*4$", Ok("Out4 In5 Aud")),
            ("4%", Ok("Out4 In3 Vid")),
            ("4$", Ok("Out4 In5 Aud")),
            ("7,", Ok("Spr7")),
            ("0*!", Ok("In0 All")),
            ("1%", Ok("Out1 In0 Vid")),
            ("7.", Ok("Rpr7")),
            ("4$", Ok("Out4 In5 Aud")),
            ("\x1b+Q2*1!2*3%", Ok("Qik")),
            ("3%", Ok("Out3 In2 Vid")),
            ("3$", Ok("Out3 In1 Aud")),
            ("1*B", Ok("Vmt1")),
            ("2*0b", Ok("Vmt2*0")),
            ("1B", Ok("Vmt1*1")),
            ("2B", Ok("Vmt2*0")),
            ("2*40V", Ok("Out2 Vol40")),
            ("I", Ok("Inf00*V8X4 A8X4")),
            ("9*1!", Err("E01")),
            ("1*5!", Err("E12")),
            ("17.", Err("E11")),
            ("1*65V", Err("E13")),
            ("1*2Z", Err("E13")),
            ("x", Err("E10")),
            ("é", Err("E10")),
        ] {
            let answer = matrix.obey(command);
            assert_eq!(
                answer.as_ref().map(|answer| answer.tagged.as_str()).map_err(|error| *error),
                expected,
                "{command}"
            );
        }
        assert_eq!(matrix.obey("2V").unwrap().plain, "40");
    }

    #[test]
    fn commands_end_in_two_ways() {
        assert_eq!((command(b"3*4!1%"), command(b"3*4"), command(b"I")), (Some(4), None, Some(1)));
        assert_eq!((command(b"\x1b3CV\r1%"), command(b"\x1b+Q1*2!")), (Some(5), None));
    }
}
