use super::*;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&[byte; ROOT_BYTES]).unwrap()
}

#[test]
fn the_same_text_seals_the_same_under_its_name_alone() {
    let sealer = sealer(1);
    let sealed = sealer.seal_secret("a#userData", "#!/bin/sh\n");
    assert!(sealed.starts_with(SEALED_PREFIX) && !sealed.contains("bin"));
    assert_eq!(sealer.seal_secret("a#userData", "#!/bin/sh\n"), sealed);
    assert_eq!(sealer.open_secret("a#userData", &sealed).as_deref(), Ok("#!/bin/sh\n"));
    for (name, text) in [("b#userData", "#!/bin/sh\n"), ("a#userDat", "a#!/bin/sh\n"), ("a#userData", "")] {
        assert_ne!(sealer.seal_secret(name, text), sealed);
    }
    assert!(sealer.open_secret("b#userData", &sealed).is_err(), "moved to another name");
    assert!(super::tests::sealer(2).open_secret("a#userData", &sealed).is_err(), "another root key");
}

#[test]
fn a_text_that_was_tampered_with_does_not_open() {
    let sealer = sealer(1);
    let sealed = sealer.seal_secret("n", "text");
    let body = STANDARD.decode(sealed.strip_prefix(SEALED_PREFIX).unwrap()).unwrap();
    for at in 0..body.len() {
        let mut body = body.clone();
        body[at] ^= 1;
        let forged = format!("{SEALED_PREFIX}{}", STANDARD.encode(body));
        assert!(sealer.open_secret("n", &forged).is_err(), "byte {at}");
    }
    for forged in [SEALED_PREFIX.to_owned(), format!("{SEALED_PREFIX}%%%"), format!("{SEALED_PREFIX}AAAA")] {
        assert!(sealer.open_secret("n", &forged).is_err(), "{forged}");
    }
}

#[test]
fn files_open_under_their_name_and_key() {
    let sealed = sealer(1).seal_file("ca.key", b"secret");
    assert_eq!(sealer(1).open_file("ca.key", &sealed).as_deref(), Ok(&b"secret"[..]));
    assert_ne!(sealer(1).seal_file("ca.key", b"secret"), sealed, "a fresh nonce each time");
    assert!(sealer(1).open_file("issuer.key", &sealed).is_err());
    let refused = sealer(2).open_file("ca.key", &sealed).unwrap_err();
    assert!(refused.to_string().contains("root.key"), "{refused}");
    assert!(Sealer::new(b"short").is_err());
}
