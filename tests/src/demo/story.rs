//! What the demo does and shows, step by step: an operator opens a cloud of two hosts, a tenant gets two machines.
//!
//! All of it goes through the CLI, as a person would do it. Where it fails half-way, everything stays to be looked at.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rempart_tests::{built_image, until_some};

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

/// Brings everything up and shows a tenant getting two virtual machines.
///
/// # Errors
/// When a step fails.
pub(crate) async fn tell(dir: &Path, image: Image) -> anyhow::Result<()> {
    say("Rempart demo: three controllers, two hypervisors, one tenant, two virtual machines.\n");
    let file = built_image(image.name())?;
    let screen = Screen::new(&dir.join("cli.toml"))?;
    let stage = stage::set(dir, &screen).await?;
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
    let first = said(&screen, |log| visible(image, log).next().map(str::to_owned)).await;
    screen.done(&format!(
        "web-1 has said its first line, {:.1} s after alice asked: {first}",
        asked.elapsed().as_secs_f64()
    ));
    let last = if image == Image::Debian { "finished at" } else { "tiny: ready" };
    if image == Image::Debian {
        say("          (cloud-init takes a minute or two where guests are emulated)");
    }
    let ready = |log: &str| visible(image, log).find(|line| line.contains(last)).map(str::to_owned);
    said(&screen, ready).await;
    screen.done("web-1 is ready");
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
        format!("export REMPART_CONFIG={}", dir.join("cli.toml").display()),
        format!("case \":$PATH:\" in *:{0}:*) ;; *) export PATH=\"{0}:$PATH\" ;; esac", bin.display()),
    ];
    fs::write(dir.join("env"), lines.join("\n") + "\n")?;
    Ok(())
}

fn contexts(dir: &Path, stage: &Stage, screen: &Screen) -> anyhow::Result<()> {
    stage::token(dir, &stage.layout, "alice")?;
    for (name, tenant, workspace) in [("operator", "public", "images"), ("alice", "acme", "demo")] {
        let (url, token) = (stage.layout.url(1), dir.join(format!("{name}.token")).display().to_string());
        let mut command = vec!["context", "add", name, "--server", &url, "--token-file", &token];
        // Alice's tenant is not there yet, so there is nothing to try it with.
        command.extend(["--tenant", tenant, "--workspace", workspace, "--no-check"]);
        screen.answer(&command)?;
    }
    Ok(())
}

/// Waits until `what` is found in the serial log of the first guest.
async fn said(screen: &Screen, what: impl Fn(&str) -> Option<String>) -> String {
    until_some("web-1 to say it on its console", Duration::from_secs(600), || async {
        let log = screen.answer(&["console", GUESTS[0], "--log"]).map_err(|error| error.to_string())?;
        what(&log).ok_or_else(|| log.lines().last().unwrap_or_default().to_owned())
    })
    .await
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
    let dir = dir.display();
    let enter = match image {
        Image::Tiny => "a shell on its console; Ctrl-] leaves it",
        Image::Debian => "log in as debian, password demo; Ctrl-] leaves it",
    };
    let name = image.name();
    say(&format!(
        "\nEverything keeps running. What to try next, in this shell or another:\n\n  \
         . {dir}/env                     # rempart on the PATH, as alice\n  \
         rempart console web-1           # {enter}\n  \
         rempart stop web-1              # presses its power button; then: rempart start web-1\n  \
         rempart run web-3 --image {name} --sku d2xs --data-volume data:1\n  \
         rempart explain vm web-3\n  \
         rempart remove web-3 --yes\n  \
         rempart --context operator host cordon host-1    # nothing new on it; then: uncordon\n  \
         kill -9 $(cat {dir}/c1.pid)     # any controller; then ask another:\n  \
         REMPART_SERVER={} REMPART_TOKEN=$(cat {dir}/alice.token) rempart list vms\n  \
         virsh -c '{}' list\n  \
         make demo-down                  # ends and removes all of it",
        stage.layout.url(2),
        stage.libvirt_uris[0],
    ));
}
