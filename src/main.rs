//! The command line: what was asked for, in words that the library understands.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use headend::{
    author,
    client::{self, Access},
    config::{self, Config, Overrides},
    daemon,
    runtime::trampoline,
    secrets::Secret,
};

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
    /// Makes another admin API key and shows it; for use while the daemon is stopped.
    Key(Where),
    /// Shows what runs: everything, a system, or a module with its status.
    Status {
        /// A system's name or id, then perhaps one of its modules; or a module's id.
        #[arg(value_name = "SYSTEM [MODULE]")]
        target: Vec<String>,
        #[command(flatten)]
        client: Client,
    },
    /// Calls a function: headend exec Boardroom Display_1 power true
    Exec {
        /// Arguments are JSON, or bare words.
        #[arg(
            value_name = "SYSTEM MODULE FUNCTION [ARGUMENT]...",
            required = true,
            allow_negative_numbers = true
        )]
        words: Vec<String>,
        #[command(flatten)]
        client: Client,
    },
    /// Follows status values until interrupted: headend watch Boardroom Display_1 power
    Watch {
        /// Without a key, all of them.
        #[arg(value_name = "SYSTEM [MODULE [KEY]...]", required = true)]
        words: Vec<String>,
        #[command(flatten)]
        client: Client,
    },
    /// What drivers are written with, on your own machine; no daemon is needed.
    #[command(subcommand)]
    Driver(Driver),
    /// Serves the model of a device that a driver package carries, or a recording, for any program, until interrupted.
    Emulate {
        /// The package's folder, or its name in the driver repository that is the current folder; or FILE.recording.
        package: String,
        /// Where; the device's own port on loopback if nothing is said.
        #[arg(long, value_name = "ADDR")]
        listen: Option<std::net::SocketAddr>,
        /// Settings of the module that it stands in for, such as its password.
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
    },
    /// Shows a module's log.
    Logs {
        /// A system and one of its modules, or a module's id.
        #[arg(value_name = "SYSTEM MODULE", required = true)]
        target: Vec<String>,
        /// Goes on with new lines until interrupted.
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        client: Client,
    },
    /// Shows what went over a module's wire, without secrets.
    Wire {
        /// A system and one of its modules, or a module's id.
        #[arg(value_name = "SYSTEM MODULE", required = true)]
        target: Vec<String>,
        /// Goes on with what comes until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// How to show it; text if nothing else is said.
        #[arg(long, value_parser = ["text", "hex", "json", "pcapng", "recording"])]
        format: Option<String>,
        /// Saves it: FILE.pcapng for Wireshark, FILE.recording to be read back.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        /// Only what was sent to the device, or received from it.
        #[arg(long, value_parser = ["sent", "received"])]
        direction: Option<String>,
        /// Only the newest N records of what there is.
        #[arg(long, short = 'n', value_name = "N")]
        last: Option<usize>,
        #[command(flatten)]
        client: Client,
    },
    /// Saves what goes over a module's wire, without secrets, until interrupted: for tests and emulators that play it.
    Record {
        /// A system and one of its modules, or a module's id.
        #[arg(value_name = "SYSTEM MODULE", required = true)]
        target: Vec<String>,
        /// Where to; by custom its name ends in .recording.
        #[arg(long, value_name = "FILE")]
        save: PathBuf,
        #[command(flatten)]
        client: Client,
    },
}

#[derive(Subcommand)]
enum Driver {
    /// Makes a driver package that works, in a driver repository or a new one.
    New {
        /// Of the package: lamp, meeting-room.
        name: String,
        /// How the device is reached.
        #[arg(long, value_enum)]
        kind: author::Kind,
        /// The driver repository; made if there is none. The current folder if nothing is said.
        #[arg(long = "in", value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Runs a driver while it is written: builds it again whenever a file is saved, and takes calls at a prompt.
    Dev {
        /// The package's folder, or its name in the driver repository that is the current folder.
        #[arg(default_value = ".")]
        package: String,
        /// Its device: HOST:PORT, or a URI (https://…, serial:///dev/ttyUSB0?baud=9600).
        #[arg(long, value_name = "ADDR", conflicts_with = "emulate")]
        connect: Option<String>,
        /// The model of the device that the package carries; so it is too if nothing is said.
        #[arg(long)]
        emulate: bool,
        /// Settings of the module: a JSON object, or a file of JSON or YAML.
        #[arg(long, value_name = "JSON|FILE")]
        settings: Option<String>,
    },
    /// Runs the standard suite of each driver, and shows the result as a table.
    Check {
        /// A driver's folder, or a repository's.
        #[arg(value_name = "PATH", default_value = ".")]
        path: PathBuf,
    },
    /// Writes a page in Markdown for each driver, from what it declares.
    Docs {
        /// A driver's folder, or a repository's.
        #[arg(value_name = "PATH", default_value = ".")]
        path: PathBuf,
        /// Where to; `docs` in PATH if nothing is said.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Puts this program's copy of drivers-sdk where a driver repository's cargo finds it.
    Sdk {
        /// The driver repository.
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct Where {
    /// The configuration; config.example.toml shows every option.
    #[arg(long, value_name = "FILE", env = "HEADEND_CONFIG")]
    config: Option<PathBuf>,
    /// Where the daemon keeps what must last.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

#[derive(clap::Args)]
struct Serve {
    #[command(flatten)]
    common: Where,
    /// Address and port of the control API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

#[derive(clap::Args)]
struct Client {
    /// The daemon to talk to; http://127.0.0.1:8090 unless ~/.config/headend/client.toml says otherwise.
    #[arg(long, value_name = "URL", env = "HEADEND_URL")]
    url: Option<String>,
    /// An API key.
    #[arg(long, value_name = "KEY", env = "HEADEND_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if let Some(failed) = trampoline::main() {
        return failed;
    }
    match Arguments::parse().command {
        Command::Serve(arguments) => serve(arguments),
        Command::Key(arguments) => key(arguments),
        Command::Status { target, client } => talk(client, client::Command::Status { target }),
        Command::Exec { words, client } => talk(client, client::Command::Exec { words }),
        Command::Watch { words, client } => talk(client, client::Command::Watch { words }),
        Command::Driver(command) => driver(command),
        Command::Emulate { package, listen, settings } => emulate(&package, listen, settings),
        Command::Logs { target, follow, client } => talk(client, client::Command::Logs { target, follow }),
        Command::Wire { target, follow, format, save, direction, last, client } => {
            let wire = client::Wire { follow, format, save, direction, last };
            talk(client, client::Command::Wire { target, wire })
        }
        Command::Record { target, save, client } => talk(client, client::Command::Record { target, save }),
    }
}

fn driver(command: Driver) -> ExitCode {
    let done = match command {
        Driver::New { name, kind, folder } => {
            author::new(&name, kind, folder.as_deref()).map(|made| println!("{made}"))
        }
        Driver::Dev { package, connect, emulate: _, settings } => dev(&package, connect, settings),
        Driver::Check { path } => match check(&path) {
            Ok(false) => return ExitCode::FAILURE,
            checked => checked.map(drop),
        },
        Driver::Docs { path, out } => docs(&path, out),
        Driver::Sdk { folder } => author::sdk::settle(&folder)
            .map(|place| println!("cargo finds drivers-sdk in {}", place.display())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.code()),
    }
}

/// Whether all drivers keep all rules.
fn check(path: &Path) -> author::Result<bool> {
    let mut good = true;
    for package in author::packages(path)? {
        match author::check(&package) {
            Ok(report) => {
                println!("{report}");
                good &= report.is_good();
            }
            // The others have a right to be checked, too.
            Err(error) => {
                eprintln!("headend: {error}");
                good = false;
            }
        }
    }
    Ok(good)
}

fn docs(path: &Path, out: Option<PathBuf>) -> author::Result<()> {
    let out = out.unwrap_or_else(|| path.join("docs"));
    for file in author::docs::write(&author::packages(path)?, &out)? {
        println!("{}", file.display());
    }
    Ok(())
}

fn dev(package: &str, connect: Option<String>, settings: Option<String>) -> author::Result<()> {
    let trampoline = Some("/proc/self/exe".into());
    let settings = settings.map(|settings| author::dev::settings(&settings)).transpose()?;
    author::dev(&author::package(package)?, author::dev::Options { connect, settings, trampoline })
}

fn emulate(package: &str, listen: Option<std::net::SocketAddr>, settings: Option<String>) -> ExitCode {
    let options = author::emulate::Options { listen, settings, trampoline: Some("/proc/self/exe".into()) };
    let done = match Path::new(package) {
        recording if author::replay::is_recording(recording) => author::replay(recording, listen),
        _ => author::package(package).and_then(|package| author::emulate(&package, options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.code()),
    }
}

fn serve(arguments: Serve) -> ExitCode {
    let config = match configuration(arguments.common, arguments.listen) {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    let preset = std::env::var("HEADEND_ADMIN_KEY").ok().map(Secret::new);
    match daemon::run(config, preset) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.code()),
    }
}

fn key(arguments: Where) -> ExitCode {
    let config = match configuration(arguments, None) {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    match daemon::make_key(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.code()),
    }
}

fn configuration(arguments: Where, listen: Option<String>) -> Result<Config, config::Error> {
    let overrides = Overrides::environment(std::env::vars())
        .flag("--data", "data", "dir", arguments.data)
        .flag("--listen", "server", "listen", listen);
    Config::load(arguments.config.as_deref(), &overrides)
}

fn talk(client: Client, command: client::Command) -> ExitCode {
    let home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let file = home.map(|home| home.join("headend/client.toml"));
    let given = client::Given { url: client.url, key: client.key.map(Secret::new) };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = match threads {
        Ok(threads) => threads,
        Err(error) => return fail(&error, 1),
    };
    let done = Access::new(given, file.as_deref())
        .and_then(|access| threads.block_on(client::run(access, command, client.json)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.code()),
    }
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("headend: {error}");
    ExitCode::from(code)
}
