//! `rempart`: what a tenant or an operator does with the REST API, from a terminal or a script.
//!
//! Standard output has results only; progress and errors go to standard error. Every failure is one paragraph and one
//! of the exit codes that docs/cli.md promises. It knows the public API and nothing else of Rempart: what it can do,
//! `curl` can do.

mod apply;
mod args;
mod argument;
mod cluster;
mod columns;
mod config;
mod console;
mod context;
mod failure;
mod fleet;
mod host;
mod image;
mod input;
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
use output::Format;
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
            if format != Format::Table {
                return Err(Failure::usage(
                    "a script of a shell's is no result that JSON or YAML could hold",
                )
                .next("Leave -o away"));
            }
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "rempart", &mut script);
            return screen.print(&String::from_utf8_lossy(&script));
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            return match format {
                Format::Table => screen.print(&format!("rempart {version}")),
                _ => output::value(screen, format, &serde_json::json!({ "version": version })),
            };
        }
        Command::Context(command) => {
            return context::run(command, &args.global.wishes(), format, &config::path(env)?, screen).await;
        }
        _ => {}
    }
    // What is wrong with files and words that are here is told before anything that is missing around them.
    let open = || {
        let config = Config::load(&config::path(env)?)?;
        Session::open(Settings::of(&args.global.wishes(), &config, env)?, screen)
    };
    match &args.command {
        Command::List(list) => resources::list(&open()?, format, list.kind.0, list.selector.as_deref()).await,
        Command::Get(get) => resources::get(&open()?, format, get).await,
        Command::Explain(explain) => resources::explain(&open()?, format, explain).await,
        Command::Delete(delete) => {
            delete.check()?;
            resources::delete(&open()?, format, delete).await
        }
        Command::Apply(apply) => {
            let documents = apply::read(apply).await?;
            apply::run(&open()?, format, apply, &documents).await
        }
        Command::Run(run) => {
            let files = launch::Files::read(run).await?;
            launch::run(&open()?, format, run, files).await
        }
        Command::Start(power) => power::run(&open()?, format, "start", power).await,
        Command::Stop(power) => power::run(&open()?, format, "stop", power).await,
        Command::Restart(power) => power::run(&open()?, format, "restart", power).await,
        Command::Remove(remove) => power::remove(&open()?, format, remove).await,
        Command::Console(console) => {
            console.check(format)?;
            console::run(&open()?, format, console).await
        }
        Command::Image(command) => {
            let disk = image::open(screen, command)?;
            image::run(&open()?, format, command, &disk).await
        }
        Command::Hosts => resources::list(&open()?, format, rempart_api::Kind::Host, None).await,
        Command::Host(command) => host::run(&open()?, format, command).await,
        Command::Cluster(command) => cluster::run(&open()?, format, command).await,
        Command::Fleet(command) => fleet::run(&open()?, format, command).await,
        Command::Context(_) | Command::Completion { .. } | Command::Version => Ok(()),
    }
}
