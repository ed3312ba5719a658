//! The demo: three controllers, two hypervisors with their agents, all on this machine, and a tenant who gets two
//! virtual machines by the CLI.
//!
//! `up` leaves everything running to be tried out; `down` ends exactly what `up` started and removes what it made.
//! Everything is below one directory, which is known by a file of ours; two at a time are refused by a lock on it.

mod directory;
mod processes;
mod screen;
mod stage;
mod story;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use directory::Directory;

#[derive(Parser)]
#[command(name = "rempart-demo", about = "Rempart's demo on this machine")]
struct Cli {
    /// Where everything is kept. Short, because unix sockets lie below it.
    #[arg(long, env = "REMPART_DEMO_DIR", default_value = "/var/lib/rempart-demo", global = true)]
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

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let directory = Directory::claim(&cli.dir)?;
    let earlier = directory.is_in_use();
    match cli.command {
        Demo::Up { image } => {
            if earlier {
                screen::say("A demo is here already; taking it down first.");
                processes::down(directory.path())?;
            }
            directory.begin()?;
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(story::tell(directory.path(), image))
        }
        Demo::Down => {
            if earlier {
                processes::down(directory.path())?;
            }
            directory.remove()?;
            screen::say(match earlier {
                true => "The demo is gone: its processes, guests and files.",
                false => "No demo is here; nothing to take down.",
            });
            Ok(())
        }
    }
}
