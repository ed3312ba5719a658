//! `rempart`: what a tenant or an operator does with the REST API, from a terminal or a script.
//!
//! Standard output has results only; progress and errors go to standard error. Every failure is one paragraph and one
//! of the exit codes that docs/cli.md promises. It knows the public API and nothing else of Rempart: what it can do,
//! `curl` can do.

mod apply;
mod args;
mod columns;
mod config;
mod console;
mod context;
mod failure;
mod host;
mod image;
mod kinds;
mod launch;
mod output;
mod power;
mod quantity;
mod resources;
mod screen;
mod session;
mod table;
mod terminal;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command};
use config::Config;
use failure::{Exit, Failure, Result};
use screen::Screen;
use session::{Session, Settings};

fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(&screen, Err(Failure::failed(format!("cannot start: {error}")))),
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = Box::pin(run(&args, &screen)) => result,
            _ = tokio::signal::ctrl_c() => {
                let left = screen.interrupted();
                Err(Failure::new(Exit::Interrupted, left.unwrap_or_else(|| "Interrupted.".to_owned())))
            }
        }
    });
    // A read of standard input that is under way cannot be taken back, and is not waited for.
    runtime.shutdown_background();
    end(&screen, result)
}

fn end(screen: &Screen, result: Result<()>) -> ExitCode {
    screen.clear();
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if !failure.text.is_empty() {
        // Behind the "^C" that the terminal shows.
        let word = if failure.exit == Exit::Interrupted { "\n" } else { "error: " };
        screen.note(&format!("{word}{}", failure.text));
    }
    ExitCode::from(failure.exit as u8)
}

async fn run(args: &Args, screen: &Screen) -> Result<()> {
    let env = |name: &str| std::env::var(name).ok();
    let format = args.global.output;
    match &args.command {
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "rempart", &mut script);
            return screen.print(&String::from_utf8_lossy(&script));
        }
        Command::Version => return screen.print(concat!("rempart ", env!("CARGO_PKG_VERSION"))),
        Command::Context(command) => {
            return context::run(command, &args.global.wishes(), format, &config::path(env)?, screen).await;
        }
        _ => {}
    }
    let config = Config::load(&config::path(env)?)?;
    let settings = Settings::of(&args.global.wishes(), &config, env)?;
    let session = Session::open(settings, screen)?;
    match &args.command {
        Command::List(list) => resources::list(&session, format, list.kind.0, list.selector.as_deref()).await,
        Command::Get(get) => resources::get(&session, format, get).await,
        Command::Explain(explain) => resources::explain(&session, explain).await,
        Command::Delete(delete) => resources::delete(&session, delete).await,
        Command::Apply(apply) => apply::run(&session, format, apply).await,
        Command::Run(run) => launch::run(&session, format, run).await,
        Command::Start(power) => power::run(&session, "start", power).await,
        Command::Stop(power) => power::run(&session, "stop", power).await,
        Command::Restart(power) => power::run(&session, "restart", power).await,
        Command::Remove(remove) => power::remove(&session, remove).await,
        Command::Console(console) => console::run(&session, console).await,
        Command::Image(command) => image::run(&session, format, command).await,
        Command::Hosts => resources::list(&session, format, rempart_api::Kind::Host, None).await,
        Command::Host(command) => host::run(&session, command).await,
        Command::Context(_) | Command::Completion { .. } | Command::Version => Ok(()),
    }
}
