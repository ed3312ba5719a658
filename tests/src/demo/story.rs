//! What the demo does and shows, step by step: an operator opens a cloud of two hosts, a tenant gets two machines.
//!
//! All of it goes through the CLI, as a person would do it. Where it fails half-way, everything stays to be looked at.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rempart_tests::{awaited, built_image};

use crate::Image;
use crate::screen::{Screen, say};
use crate::stage::{self, Stage};

/// Not for use: nobody has its private half, and guests have no network yet.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemoDemoDemoDemoDemoDemoDem alice@laptop\n";

/// A Debian guest is entered by its console, where only a password helps.
const DEBIAN_USER_DATA: &str = "#cloud-config\npassword: demo\nchpasswd: { expire: false }\n";
const TINY_USER_DATA: &str = "#cloud-config\nmessage: bonjour de Rempart\n";

/// The guests; one anti-affinity group keeps them on different hosts.
const GUESTS: [&str; 2] = ["web-1", "web-2"];

/// Makes what the demo shows with.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn prepare(image: Image) -> anyhow::Result<()> {
    say("Rempart demo: three controllers, two hypervisors, one tenant, two virtual machines.\n");
    if image == Image::Debian {
        say(
            "  Looking for the guest image 'debian'. If it has not been built yet, that takes about two minutes.\n",
        );
    }
    built_image(image.name()).map(|_| ())
}

/// Brings everything up and shows a tenant getting two virtual machines.
///
/// # Errors
/// When a step fails.
pub(crate) async fn tell(dir: &Path, image: Image, first_port: u16) -> anyhow::Result<()> {
    let file = built_image(image.name())?;
    let screen = Screen::new(&dir.join("cli.toml"))?;
    let stage = stage::set(dir, first_port, &screen).await?;
    write_inputs(dir, image)?;
    contexts(dir, &stage, &screen)?;

    say("\nThe operator looks at the hosts, opens a tenant for alice, and offers an image.");
    screen.run(&["--context", "operator", "hosts"])?;
    let path = |name: &str| dir.join(name).display().to_string();
    screen.run(&["--context", "operator", "apply", "-f", &path("acme.yaml")])?;
    let file = file.display().to_string();
    let boot = if image == Image::Debian { "uefi" } else { "bios" };
    screen.run(&[
        "--context",
        "operator",
        "image",
        "upload",
        &file,
        "--name",
        image.name(),
        "--boot",
        boot,
    ])?;
    screen.done("the image is on a majority of the controllers");

    say("\nAlice asks for two machines, which are not to share a host.");
    let (key, user_data) = (path("alice.pub"), path("user-data"));
    let asked = Instant::now();
    for guest in GUESTS {
        let mut command = vec!["run", guest, "--image", image.name(), "--sku", "d2xs", "--create-workspace"];
        command.extend(["--ssh-key", &key, "--user-data", &user_data, "--anti-affinity-group", "web"]);
        if image == Image::Debian {
            // Larger than the image: its root file system grows to the volume's size.
            command.extend(["--size-gb", "4"]);
        }
        screen.run(&command)?;
    }
    screen.run(&["list", "vms"])?;
    screen.run(&["--context", "operator", "hosts"])?;
    let milestones: [(&str, &str); 2] = match image {
        Image::Tiny => [("tiny: ", "web-1 has said its first line"), ("tiny: ready", "web-1 is ready")],
        Image::Debian => {
            say("          (where guests are emulated, Debian takes a minute or two)");
            [
                ("login:", "web-1 shows its login prompt"),
                ("finished at", "web-1 is set up: cloud-init has finished"),
            ]
        }
    };
    for (words, meaning) in milestones {
        let line = said(&screen, image, words).await?;
        let seconds = asked.elapsed().as_secs_f64();
        screen.done(&format!("{meaning}, {seconds:.1} s after alice asked for it: {}", line.trim()));
    }
    show_console(&screen, image)?;
    next_steps(dir, &stage, image);
    Ok(())
}

/// The files that alice and the operator would have written, and one for the shell.
fn write_inputs(dir: &Path, image: Image) -> anyhow::Result<()> {
    let tenant = "metadata: { kind: tenant, name: acme }\nspec: { owners: [alice] }\n---\n\
                  metadata: { kind: workspace, tenant: public, name: images }\nspec: {}\n";
    fs::write(dir.join("acme.yaml"), tenant)?;
    fs::write(dir.join("alice.pub"), SSH_KEY)?;
    fs::write(dir.join("user-data"), if image == Image::Debian { DEBIAN_USER_DATA } else { TINY_USER_DATA })?;
    let cli = rempart_tests::binary("rempart")?;
    let bin = fs::canonicalize(cli.parent().context("the CLI lies in no directory")?)?;
    let lines = [
        "# For your shell: the CLI with the demo's contexts, yours stay untouched.".to_owned(),
        format!(
            "export REMPART_CONFIG={} REMPART_DEMO_DIR={}",
            dir.join("cli.toml").display(),
            dir.display()
        ),
        format!("case \":$PATH:\" in *:{0}:*) ;; *) export PATH=\"{0}:$PATH\" ;; esac", bin.display()),
    ];
    fs::write(dir.join("env"), lines.join("\n") + "\n")?;
    Ok(())
}

fn contexts(dir: &Path, stage: &Stage, screen: &Screen) -> anyhow::Result<()> {
    stage::token(dir, &stage.layout, "alice")?;
    // Alice by the second controller comes first: the last one that is added stays the current one.
    for (name, id, subject, tenant, workspace) in [
        ("operator", 1, "operator", "public", "images"),
        ("alice-by-c2", 2, "alice", "acme", "demo"),
        ("alice", 1, "alice", "acme", "demo"),
    ] {
        let (url, token) = (stage.layout.url(id), dir.join(format!("{subject}.token")).display().to_string());
        let mut command = vec!["context", "add", name, "--server", &url, "--token-file", &token];
        // Alice's tenant is not there yet, so there is nothing to try it with.
        command.extend(["--tenant", tenant, "--workspace", workspace, "--no-check"]);
        screen.answer(&command)?;
    }
    Ok(())
}

/// Waits until the first guest has said a line with these words on its console, and returns the line.
async fn said(screen: &Screen, image: Image, words: &str) -> anyhow::Result<String> {
    let line = awaited("web-1 to say it on its console", Duration::from_secs(600), || async {
        let log = screen.answer(&["console", GUESTS[0], "--log"]).map_err(|error| format!("{error:#}"))?;
        let found = visible(image, &log).find(|line| line.contains(words)).map(str::to_owned);
        found.ok_or_else(|| log.lines().last().unwrap_or_default().to_owned())
    });
    line.await.map_err(|late| anyhow!("{words:?}: {late}"))
}

/// The lines of a console that mean something to a person; firmware and boot loader write escape sequences.
fn visible(image: Image, log: &str) -> impl Iterator<Item = &str> {
    log.lines().map(str::trim_end).filter(move |line| match image {
        Image::Tiny => line.starts_with("tiny: "),
        Image::Debian => !line.contains('\u{1b}') && !line.trim().is_empty(),
    })
}

fn show_console(screen: &Screen, image: Image) -> anyhow::Result<()> {
    let log = screen.answer(&["console", GUESTS[0], "--log"])?;
    let lines: Vec<&str> = visible(image, &log).collect();
    let shown = lines.len().saturating_sub(25);
    say(&format!("\n$ rempart console {} --log{}", GUESTS[0], if shown > 0 { " | tail -25" } else { "" }));
    for line in &lines[shown..] {
        say(line);
    }
    Ok(())
}

fn next_steps(dir: &Path, stage: &Stage, image: Image) {
    let enter = match image {
        Image::Tiny => "a shell on its console; Ctrl-] leaves it",
        Image::Debian => "log in as debian, password demo; Ctrl-] leaves it",
    };
    // Where the demo is not in its usual place, make has to be told.
    let elsewhere = if dir == Path::new(crate::USUAL_DIR) {
        String::new()
    } else {
        format!("REMPART_DEMO_DIR={} ", dir.display())
    };
    let (name, size) = (image.name(), if image == Image::Debian { " --size-gb 4" } else { "" });
    let (dir, libvirt) = (dir.display(), &stage.libvirt_uris[0]);
    let steps = [
        (format!(". {dir}/env"), "rempart on the PATH, as alice"),
        ("rempart console web-1".to_owned(), enter),
        ("rempart stop web-1".to_owned(), "presses its power button"),
        ("rempart start web-1".to_owned(), ""),
        (format!("rempart run web-3 --image {name} --sku d2xs{size} --data-volume data:1"), ""),
        ("rempart explain vm web-3".to_owned(), "why it is as it is"),
        ("rempart remove web-3 --yes".to_owned(), ""),
        ("rempart --context operator host cordon host-1".to_owned(), "nothing new on it"),
        ("rempart --context operator host uncordon host-1".to_owned(), ""),
        (format!("kill -9 $(cat {dir}/c1.pid)"), "any controller; then ask another one:"),
        ("rempart --context alice-by-c2 list vms".to_owned(), ""),
        ("rempart-demo start c1".to_owned(), "it comes back, and catches up"),
        (format!("virsh -c '{libvirt}' list"), "below it all"),
        (format!("{elsewhere}make demo-down"), "ends and removes all of it"),
    ];
    say("\nEverything keeps running. What to try next, in this shell or another:\n");
    for (command, meaning) in steps {
        let comment = if meaning.is_empty() { String::new() } else { format!("  # {meaning}") };
        say(format!("  {command:<48}{comment}").trim_end());
    }
}
