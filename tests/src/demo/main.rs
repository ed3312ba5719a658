//! The demo: three controllers, a hypervisor and its agent on this machine, and a tenant who gets a virtual machine.
//!
//! `up` leaves everything running to be tried out; `down` ends exactly what `up` started and removes what it made.

mod processes;
mod story;

use std::fs;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Where the demo lives. Short, because unix sockets lie below it.
const DIR: &str = "/var/lib/rempart-demo";

#[derive(Parser)]
#[command(name = "rempart-demo", about = "Rempart's demo on this machine")]
struct Cli {
    #[command(subcommand)]
    command: Demo,
}

#[derive(Subcommand)]
enum Demo {
    /// Starts everything and shows a tenant getting a virtual machine.
    Up,
    /// Ends what `up` started and removes what it made.
    Down,
}

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(DIR);
    match Cli::parse().command {
        Demo::Up => {
            if dir.exists() {
                story::say("An earlier demo is here; taking it down first.");
                processes::down(&dir)?;
            }
            fs::create_dir_all(&dir)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(story::tell(&dir))
        }
        Demo::Down => {
            if !dir.exists() {
                story::say("No demo is here; nothing to take down.");
                return Ok(());
            }
            processes::down(&dir)?;
            story::say("The demo is gone: its processes, guests and files.");
            Ok(())
        }
    }
}
