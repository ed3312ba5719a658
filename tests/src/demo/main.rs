//! The demo: three controllers, two hypervisors with their agents, all on this machine, and a tenant who gets two
//! virtual machines by the CLI.
//!
//! `up` leaves everything running to be tried out; `start` brings back what was killed; `down` ends exactly what `up`
//! started and removes what it made. Everything is below one directory, which is known by a file of ours; two commands at
//! a time are refused by a lock on it. `up` and `down` may follow each other in any order, also after one that was killed.

mod directory;
mod processes;
mod screen;
mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};

use directory::Directory;

/// Where the demo keeps everything unless told otherwise.
const USUAL_DIR: &str = "/var/lib/rempart-demo";

const ANEW: &str = "starting anew as one of the demo's processes";

#[derive(Parser)]
#[command(name = "rempart-demo", about = "Rempart's demo on this machine")]
struct Cli {
    /// Where everything is kept. Short, because unix sockets lie below it.
    #[arg(long, env = "REMPART_DEMO_DIR", default_value = USUAL_DIR, global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Demo,
}

#[derive(Subcommand)]
enum Demo {
    /// Starts everything and shows a tenant getting two virtual machines.
    Up {
        /// What runs in them.
        #[arg(long, value_enum, default_value = "tiny")]
        image: Image,
        /// The first controller's REST port, the others' follow; internal ports are 1000 below. 0, or where one is
        /// taken: any that are free.
        #[arg(long, env = "REMPART_DEMO_PORT", default_value_t = 8081)]
        port: u16,
    },
    /// Starts a controller (c1 to c3) or an agent (host-1, host-2) again that has been killed.
    Start {
        /// Which one.
        #[arg(value_parser = stage::NAMES)]
        name: String,
    },
    /// Ends what `up` started and removes what it made.
    Down,
}

/// A guest image that `images/build` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Image {
    /// Boots in seconds and says what it was given.
    Tiny,
    /// Debian with cloud-init.
    Debian,
}

impl Image {
    fn name(self) -> &'static str {
        match self {
            Image::Tiny => "tiny",
            Image::Debian => "debian",
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match obey(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // What went wrong here is a matter of this machine: a backtrace of the demo would say nothing about it.
        Err(error) => {
            eprintln!("\nrempart-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(cli: &Cli) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the demo must run as root: its hypervisors are libvirt daemons in mount namespaces of their own. Run it \
             again as root (make demo says how)"
        );
    }
    match &cli.command {
        Demo::Up { image, port } => up(&cli.dir, *image, *port),
        Demo::Start { name } => {
            let directory = Directory::find(&cli.dir)?.filter(Directory::is_in_use);
            let directory = directory
                .with_context(|| format!("no demo is in {}; begin one: make demo", cli.dir.display()))?;
            if !processes::are_ours_from_here(directory.path()) {
                return Err(processes::mark_from_here(directory.path())).context(ANEW);
            }
            runtime()?.block_on(stage::start_again(directory.path(), name))
        }
        Demo::Down => {
            let Some(directory) = Directory::find(&cli.dir)? else {
                screen::say(&format!("No demo is here ({}); nothing to take down.", cli.dir.display()));
                return Ok(());
            };
            let there = directory.is_in_use();
            processes::down(directory.path())?;
            directory.remove()?;
            screen::say(match there {
                true => "The demo is gone: its processes, guests and files.",
                false => "No demo is here; nothing to take down.",
            });
            Ok(())
        }
    }
}

fn up(dir: &Path, image: Image, port: u16) -> anyhow::Result<()> {
    let directory = Directory::claim(dir)?;
    if !processes::are_ours_from_here(directory.path()) {
        if directory.is_in_use() {
            screen::say("A demo is here already; taking it down first.");
            processes::down(directory.path())?;
        }
        directory.begin().with_context(|| format!("writing to {}", directory.path().display()))?;
        // Not yet marked: a build of an image that this command's end does not stop may go on, for the next to use.
        story::prepare(image)?;
        return Err(processes::mark_from_here(directory.path())).context(ANEW);
    }
    if !directory.is_in_use() {
        bail!("the demo was taken down while it began; run this again");
    }
    let told = runtime()?.block_on(story::tell(directory.path(), image, port));
    told.with_context(|| {
        format!(
            "the demo stopped half-way. What runs is left as it is, to be looked at: {}/*.log. `make demo` begins anew, \
             `make demo-down` removes it. The reason",
            directory.path().display()
        )
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
