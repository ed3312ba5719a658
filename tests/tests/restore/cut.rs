//! Backups whose line is cut on the way, and files that are not all of a backup.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use rempart_tests::Layout;

use super::{Operator, text};

/// Where a line closes.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// After so many bytes of the answer.
    Answer(usize),
    /// After so many bytes of its body.
    Body(usize),
    /// Before the five bytes that end it: all of the backup has come, and nobody says so.
    End,
}

const HEAD_ENDS: &[u8] = b"\r\n\r\n";
const BODY_ENDS: &[u8] = b"\r\n0\r\n\r\n";

impl Cut {
    /// How many bytes may pass of those that came, and whether no more will.
    fn passes(self, came: &[u8]) -> (usize, bool) {
        let most = match self {
            Cut::Answer(most) => most,
            Cut::Body(most) => {
                let head = came.windows(HEAD_ENDS.len()).position(|window| window == HEAD_ENDS);
                head.map_or(usize::MAX, |head| head + HEAD_ENDS.len() + most)
            }
            Cut::End if came.ends_with(BODY_ENDS) => came.len() - 5,
            Cut::End => return (came.len().saturating_sub(BODY_ENDS.len()), false),
        };
        (most.min(came.len()), most <= came.len())
    }
}

/// The address of a line to a controller, which carries one call.
fn line(layout: &Layout, cut: Cut) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let to = layout.url(1).trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().expect("a call");
        let mut controller = TcpStream::connect(to).expect("it listens");
        let (mut from, mut into) =
            (caller.try_clone().expect("a copy"), controller.try_clone().expect("a copy"));
        std::thread::spawn(move || std::io::copy(&mut from, &mut into));
        let (mut came, mut passed, mut piece) = (Vec::new(), 0, vec![0; 65536]);
        loop {
            let count = controller.read(&mut piece).expect("an answer");
            assert!(count > 0, "the controller hung up first");
            came.extend_from_slice(&piece[..count]);
            let (passes, closes) = cut.passes(&came);
            caller.write_all(&came[passed..passes]).expect("it listens");
            passed = passes;
            if closes {
                for side in [&caller, &controller] {
                    side.shutdown(Shutdown::Both).expect("it was open");
                }
                return;
            }
        }
    });
    address
}

/// Wherever the line closes, there is no file, and the command says so.
pub(super) fn a_line_that_closes_leaves_no_file(keys: &Operator, layout: &Layout) {
    let token = layout.token("operator").expect("a token");
    for cut in [Cut::Answer(0), Cut::Answer(30), Cut::Body(0), Cut::Body(1000), Cut::End] {
        let arguments = ["cluster", "backup", "--recipient", &keys.public, "--to", "cut.age"];
        let output = keys.rempart(&line(layout, cut), &token, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{cut:?}: {said}");
        let words = match cut {
            Cut::Answer(_) => "cannot take a backup: ",
            _ => "No file was left; take it again",
        };
        assert!(said.contains(words) && output.stdout.is_empty(), "{cut:?}: {said}");
        if matches!(cut, Cut::Body(1000) | Cut::End) {
            assert!(said.contains("broke off after ") && !said.contains("after 0 bytes"), "{cut:?}: {said}");
        }
        let names = std::fs::read_dir(keys.dir.path()).expect("a directory").flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).filter(|name| name != "key").collect();
        assert!(names.is_empty(), "{cut:?}: {names:?}");
    }
}

/// A file that lacks its end is refused, by the check and by the restore, and nothing is written.
pub(super) fn a_file_without_its_end_is_refused(keys: &Operator, layout: &Layout, id: usize) {
    let path = keys.file("backup.age");
    let whole = std::fs::read(&path).expect("a backup");
    for (length, words) in
        [(0, "it is empty"), (whole.len() / 2, "it was cut"), (whole.len() - 1, "it was cut")]
    {
        std::fs::write(&path, &whole[..length]).expect("it is cut");
        for more in [&["--check"][..], &[]] {
            let output = keys.restore(layout, id, more);
            let said = text(&output.stderr);
            assert!(!output.status.success() && said.contains(words), "{length} {more:?}: {said}");
            assert!(said.contains("nothing was written"), "{said}");
            assert!(!layout.identity_dir(id).exists() && !layout.data_dir(id).exists(), "{length} {more:?}");
        }
    }
    std::fs::write(&path, &whole).expect("it is whole again");
}
