//! The command line: what was asked for, in words that the library understands.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use headend::config::{Config, Overrides};

#[derive(Parser)]
#[command(name = "headend", version, about = "Driver runtime for buildings, AV racks and IoT sites")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon.
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// The configuration; config.example.toml shows every option.
    #[arg(long, value_name = "FILE", env = "HEADEND_CONFIG")]
    config: Option<PathBuf>,
    /// Where the daemon keeps what must last.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address and port of the control API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve(arguments),
    }
}

fn serve(arguments: Serve) -> ExitCode {
    let overrides = Overrides::environment(std::env::vars())
        .flag("--data", "data", "dir", arguments.data)
        .flag("--listen", "server", "listen", arguments.listen);
    match Config::load(arguments.config.as_deref(), &overrides) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headend: {error}");
            ExitCode::from(2)
        }
    }
}
