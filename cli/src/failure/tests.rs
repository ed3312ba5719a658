use super::*;
use rempart_api::ProblemSource;

fn problem(class: ProblemType, status: u16, detail: &str, pointer: &str) -> ClientError {
    ClientError::Problem(Box::new(Problem {
        class,
        title: class.title().to_owned(),
        status,
        detail: detail.to_owned(),
        instance: "/".to_owned(),
        sources: vec![ProblemSource { pointer: pointer.to_owned(), parameter: String::new() }],
    }))
}

#[test]
fn the_class_decides_the_exit_code_whatever_the_status() {
    let check = |class, status, exit| {
        let failure = Failure::of_call("x", &problem(class, status, "why", ""));
        assert_eq!(failure.exit, exit, "{class:?} {status}");
    };
    check(ProblemType::ResourceNotFound, 404, Exit::NotFound);
    check(ProblemType::ResourceNotFound, 412, Exit::NotFound);
    check(ProblemType::Unauthorized, 401, Exit::Refused);
    check(ProblemType::Forbidden, 403, Exit::Refused);
    check(ProblemType::ValidationError, 412, Exit::Refused);
    check(ProblemType::ResourceConflict, 409, Exit::Refused);
    check(ProblemType::PreconditionFailed, 412, Exit::Refused);
    check(ProblemType::InvalidRequest, 400, Exit::Refused);
    check(ProblemType::InternalServerError, 500, Exit::Failed);
    check(ProblemType::InternalServerError, 503, Exit::Unreachable);
}

#[test]
fn fields_at_fault_are_named_once_and_control_characters_never_shown() {
    let text = |detail, pointer| {
        Failure::of_call("put it", &problem(ProblemType::ValidationError, 422, detail, pointer)).text
    };
    assert_eq!(text("/spec/zone: is none.", "/spec/zone"), "cannot put it: /spec/zone: is none");
    assert_eq!(text("is none", "/spec/zone"), "cannot put it: is none (at fault: /spec/zone)");
    assert_eq!(text("a\u{1b}[31mb\nc", ""), "cannot put it: a\u{fffd}[31mb c");
}

#[test]
fn what_to_do_next_follows_one_full_stop() {
    assert_eq!(Failure::usage("a.").next("Do b").text, "a. Do b");
    assert_eq!(Failure::usage("a").next("Do b").text, "a. Do b");
    assert_eq!(Failure::usage("a?").next("Do b").text, "a? Do b");
}

#[test]
fn an_address_is_shown_without_its_path() {
    assert_eq!(origin("http://a:1/providers/x"), "http://a:1");
    assert_eq!(origin("http://a"), "http://a");
}

#[test]
fn ways_to_fail_on_the_way_have_their_words() {
    let check = |url: &str, cause: &str, words: &str| {
        let error = std::io::Error::other(cause.to_owned());
        let failure = of_transport("list x", url, &error);
        assert!(failure.text.contains(words), "{}", failure.text);
        assert_eq!(failure.exit, Exit::Unreachable);
    };
    check("http://h/x", "Connection refused (os error 111)", "does the controller run");
    check("https://h/x", "invalid peer certificate: UnknownIssuer", "--ca-file");
    check("https://h/x", "received corrupt message of type InvalidContentType", "http:// meant");
    check("http://h/x", "invalid HTTP version parsed", "https:// meant");
    check("http://h/x", "failed to lookup address information: Name or service not known", "spelled right");
    let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "late");
    assert!(of_transport("x", "http://h", &late).text.contains("in time"));
}
