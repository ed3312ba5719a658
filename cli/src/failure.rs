//! How a command fails: one paragraph for a person, and an exit code for a script.
//!
//! A paragraph says what failed, why (in the server's words, if it said some) and what to do next. What comes from
//! outside is made harmless before it is shown: see [`crate::screen::harmless`].

use rempart_api::client::ClientError;
use rempart_api::{Problem, ProblemType};

use crate::screen::harmless;

/// Exit codes; docs/cli.md promises them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was tried, and went wrong.
    Failed = 1,
    /// The command line, the configuration or a file makes no sense. Nothing was changed.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// The server said no: no right, a conflict, or content that breaks a rule.
    Refused = 4,
    /// No answer, or not in time.
    Unreachable = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// The paragraph, without a full stop at its end. Empty: whoever read our output has gone, and nobody is told.
    pub(crate) text: String,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Failure {
        Failure { exit, text: text.into() }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, text)
    }

    /// With what to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: impl AsRef<str>) -> Failure {
        let text = self.text.trim_end_matches('.').len();
        self.text.truncate(text);
        // A question has its mark already.
        self.text.push_str(if self.text.ends_with('?') { " " } else { ". " });
        self.text.push_str(next.as_ref());
        self
    }

    /// A file of the person's own could not be used.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind;
        let at = path.display();
        match error.kind() {
            ErrorKind::NotFound => {
                Failure::usage(format!("cannot {doing} {at}: it is not there")).next("Is the path right?")
            }
            ErrorKind::PermissionDenied => Failure::usage(format!("cannot {doing} {at}: permission denied"))
                .next(format!("Whose it is, and who may use it: ls -ld {at}")),
            ErrorKind::IsADirectory => {
                Failure::usage(format!("cannot {doing} {at}: it is a directory")).next("Name a file in it")
            }
            ErrorKind::InvalidData => {
                Failure::usage(format!("cannot {doing} {at}: what is there is no text"))
                    .next("Is it the file that was meant? It has to be UTF-8")
            }
            _ => Failure::usage(format!("cannot {doing} {at}: {error}")),
        }
    }

    /// What the server, or the way to it, said to `what` ("get instance web-1 in acme/demo").
    pub(crate) fn of_call(what: &str, error: &ClientError) -> Failure {
        match error {
            ClientError::Problem(problem) => of_problem(what, problem),
            ClientError::Unexpected { status: 301..=308, url, .. } => Failure::new(
                Exit::Unreachable,
                format!("cannot {what}: {} sends callers to another address", origin(url)),
            )
            .next("Give that address as the context's server; the token is not sent along a redirect"),
            ClientError::Unexpected { status, url, body } => Failure::new(
                if *status >= 500 { Exit::Unreachable } else { Exit::Failed },
                format!(
                    "cannot {what}: {} answered HTTP {status}, and not as a Rempart controller does: {:?}",
                    origin(url),
                    harmless(body)
                ),
            )
            .next(
                "Is this the address of a controller's REST API, and not of something before or beside it?",
            ),
            ClientError::Cut { url, why } => Failure::new(
                Exit::Unreachable,
                format!("cannot {what}: what {} sent is cut off: {}", origin(url), harmless(why)),
            )
            .next("Look at the controller's log, and at what stands between; another controller will do as well"),
            ClientError::Transport { url, error } => of_transport(what, url, error),
        }
    }

    /// Whether trying once more, later, may help.
    pub(crate) fn may_pass(&self) -> bool {
        self.exit == Exit::Unreachable
    }
}

fn of_problem(what: &str, problem: &Problem) -> Failure {
    let exit = match (problem.class, problem.status) {
        (_, 503 | 504 | 408 | 429) => Exit::Unreachable,
        (ProblemType::ResourceNotFound, _) | (_, 404) => Exit::NotFound,
        (ProblemType::InternalServerError, _) | (_, 500..) => Exit::Failed,
        _ => Exit::Refused,
    };
    let mut text = format!("cannot {what}: {}", harmless(problem.detail.trim_end_matches('.')));
    // Fields that the words do not name already.
    let unsaid: Vec<&str> = problem
        .sources
        .iter()
        .map(|source| if source.pointer.is_empty() { &*source.parameter } else { &*source.pointer })
        .filter(|field| !field.is_empty() && !problem.detail.contains(field))
        .collect();
    if !unsaid.is_empty() {
        text.push_str(&format!(" (at fault: {})", harmless(&unsaid.join(", "))));
    }
    let failure = Failure::new(exit, text);
    match problem.class {
        ProblemType::PreconditionFailed => failure.next(
            "Somebody changed it since you read it: get it again, make your change there and apply that; or remove \
             metadata.resourceVersion to overwrite whatever there is",
        ),
        _ => failure,
    }
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |at| &url[..host + at])
}

fn of_transport(what: &str, url: &str, error: &dyn TransportError) -> Failure {
    let server = origin(url);
    let cause = error.innermost();
    let words = cause.to_lowercase();
    let secure = server.starts_with("https:");
    let (why, next) = if error.timed_out() {
        let why = "it did not answer in time".to_owned();
        (why, "Whether a write took effect is not known: read the resource, or repeat the command")
    } else if words.contains("connection refused") {
        let why = "nothing listens there (connection refused)".to_owned();
        (why, "Is the address right, and does the controller run? Any controller of the cluster will do")
    } else if words.contains("lookup") || words.contains("name or service") || words.contains("resolve") {
        ("its name is not known (DNS)".to_owned(), "Is the server's name spelled right?")
    } else if words.contains("unknownissuer") || words.contains("unknown issuer") {
        let why = "its certificate is signed by an authority that this machine does not trust".to_owned();
        (
            why,
            "If it is your own, give its certificate to the context: rempart context add NAME --ca-file ca.crt",
        )
    } else if words.contains("certificate") {
        (format!("its certificate is not good: {cause}"), "Do not go on before you know why")
    } else if secure && (words.contains("invalidcontenttype") || words.contains("corrupt message")) {
        ("it does not speak HTTPS there".to_owned(), "Is http:// meant, or another port?")
    } else if !secure && (words.contains("parse") || words.contains("invalid http")) {
        ("it does not speak plain HTTP there".to_owned(), "Is https:// meant, or another port?")
    } else if words.contains("unreachable") {
        (format!("there is no way to it ({cause})"), "Is this machine on the right network?")
    } else {
        (cause, "Is the address right, and does the controller run?")
    };
    Failure::new(Exit::Unreachable, format!("cannot {what}: no answer from {server}: {}", harmless(&why)))
        .next(next)
}

/// What is asked of an error on the way.
trait TransportError {
    fn timed_out(&self) -> bool;
    fn innermost(&self) -> String;
}

/// reqwest's, without naming reqwest: the client is the API crate's business.
impl<E: std::error::Error + 'static> TransportError for E {
    fn timed_out(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(one) = error {
            let late = one
                .downcast_ref::<std::io::Error>()
                .is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
            let words = one.to_string();
            if late || words == "operation timed out" || words == "deadline has elapsed" {
                return true;
            }
            error = one.source();
        }
        false
    }

    fn innermost(&self) -> String {
        let mut words = self.to_string();
        let mut source = self.source();
        while let Some(inner) = source {
            words = inner.to_string();
            source = inner.source();
        }
        words
    }
}

#[cfg(test)]
mod tests;
