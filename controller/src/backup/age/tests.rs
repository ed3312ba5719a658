use super::*;

/// Key pairs and files that the reference implementation made (age 1.1.1): they are no secrets of anybody's.
const PUBLIC: &str = "age1pka0nqsxee0alpd7umdg60s0t82cxjt6ws9c5x66epxyd6up798q2gy7yd";
const PRIVATE: &str = "AGE-SECRET-KEY-1AEAGP90ZQRGV2R7RYZHQ2C5EQ0R3VGYSFQWFRYA8MQXUFT9ZAMDSTKEYX5";
const PRIVATE_2: &str = "AGE-SECRET-KEY-13LCA34AAEPKMPU9HYA295RURJ7PA60FMTW6T2H5W672LKP5YHKWSERCLJU";
/// "a backup of a cluster", to both.
const TO_BOTH: &str = "\
    YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBJUUkxSTlsVnpMOVp3R0xWSzAyZitqWG4yd1BvRDRuTDZoak5kMUtMdndVCkFabzd1ND\
    lQK3J3ZEtYVC9URnh5T1d5YVFqeTYveEVJK3dBSzVwMFArRVkKLT4gWDI1NTE5IFBaWWJac0NqZ1o2cDNtQXV6U3JGWUFtSWoyQkNJSkxhUGFO\
    OUF4UzcveEkKWTdDOXhRbFZQRHF3aFcxSzNYWW1hRXdkVkEwUGNoS2p2V3Q1OURpb1lmOAotLS0gOGxCdEhkTCtHQzFCZnVQbjJoQURGZ0Qxel\
    NlSXJQRFVyQTMzWHlwWTZROApeCIPxV1/BjIiA7bxuiUPq/xG1jUSa4NK4Owm/esgKjvt2YWbhvnWn0f6o7+N1GJyO679bSNo=\
    ";
/// Nothing, to the second.
const NOTHING: &str = "\
    YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBJOEJpK3RVNm1qQUJLQmx3Q01sTDk2MzFDYy9la29WN3p0aXhZL0oxbEhzCjN1OVBiY2\
    hUR2ZzYmxoTkR1alcveWJLZlNBc0xZSTRHVWV2YkpsQ1lrSzAKLS0tIFhLRU1iUDIvOXhtUmlJYVY3amVsZmdBbTdYdFRFbUYwa2ZrTVcxSDRq\
    RFkKB1RgBs8VuITql5zSIJ8egXfCkq8tZU0xlt7ZMCRIIdc=\
    ";

fn key(text: &str) -> Vec<Identity> {
    identities(text).unwrap()
}

fn golden(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn opened(keys: &[Identity], file: &[u8]) -> io::Result<Vec<u8>> {
    let mut clear = Vec::new();
    Decryptor::begin(keys, file)?.read_to_end(&mut clear)?;
    Ok(clear)
}

fn sealed(recipients: &[Recipient], clear: &[u8]) -> Vec<u8> {
    let mut encryptor = Encryptor::begin(recipients, Vec::new()).unwrap();
    encryptor.write_all(clear).unwrap();
    encryptor.finish().unwrap()
}

#[test]
fn keys_are_those_of_age() {
    let identity = key(&format!("# created: then\n\n{PRIVATE}\n")).remove(0);
    assert_eq!(identity.recipient().unwrap().to_string(), PUBLIC);
    assert_eq!(identity.to_text(), PRIVATE);
    assert_eq!(PUBLIC.parse::<Recipient>().unwrap().to_string(), PUBLIC);
    let new = Identity::generate().unwrap();
    let text = new.to_text();
    assert_eq!(key(&text)[0].recipient().unwrap(), new.recipient().unwrap());
}

#[test]
fn what_is_no_key_is_refused_and_no_secret_repeated() {
    for bad in
        ["", "age1", &PUBLIC[..61], &PUBLIC.replace("pka0", "pka2"), &format!("{PUBLIC}q"), "age1Pka0nqs"]
    {
        assert!(bad.parse::<Recipient>().is_err(), "{bad}");
    }
    let error = PRIVATE.parse::<Recipient>().unwrap_err().to_string();
    assert!(error.contains("private key") && !error.contains(&PRIVATE[20..]), "{error}");
    let error = identities(&PRIVATE[..70]).unwrap_err().to_string();
    assert!(error.contains("AGE-SECRET-KEY-1...") && !error.contains(&PRIVATE[20..40]), "{error}");
    assert!(identities("# nothing\n").is_err());
}

#[test]
fn files_of_the_reference_implementation_are_read() {
    for private in [PRIVATE, PRIVATE_2] {
        assert_eq!(opened(&key(private), &golden(TO_BOTH)).unwrap(), b"a backup of a cluster\n");
    }
    assert_eq!(opened(&key(PRIVATE_2), &golden(NOTHING)).unwrap(), b"");
    let error = opened(&key(PRIVATE), &golden(NOTHING)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn what_is_written_is_read_back_by_each_recipient() {
    let keys = [Identity::generate().unwrap(), Identity::generate().unwrap()];
    let recipients: Vec<_> = keys.iter().map(|key| key.recipient().unwrap()).collect();
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let clear: Vec<u8> = (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let file = sealed(&recipients, &clear);
        for key in &keys {
            assert_eq!(opened(std::slice::from_ref(key), &file).unwrap(), clear, "{length}");
        }
        assert!(opened(&[Identity::generate().unwrap()], &file).is_err());
    }
    assert!(Encryptor::begin(&[], Vec::new()).is_err());
}

#[test]
fn a_change_or_a_cut_anywhere_is_found() {
    let identity = Identity::generate().unwrap();
    let file = sealed(&[identity.recipient().unwrap()], b"some content that matters");
    let keys = [identity];
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(opened(&keys, &changed).is_err(), "byte {at} was changed");
        assert!(opened(&keys, &file[..at]).is_err(), "cut at byte {at}");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(opened(&keys, &longer).is_err());
}

#[test]
fn chunks_that_were_left_out_or_swapped_are_found() {
    let identity = Identity::generate().unwrap();
    let clear = vec![7; 3 * CHUNK_BYTES];
    let file = sealed(&[identity.recipient().unwrap()], &clear);
    let keys = [identity];
    let chunk = CHUNK_BYTES + TAG_BYTES;
    let begin = file.len() - 3 * chunk;
    let (head, body) = file.split_at(begin);
    let without_end = [head, &body[..2 * chunk]].concat();
    let without_middle = [head, &body[..chunk], &body[2 * chunk..]].concat();
    let swapped = [head, &body[chunk..2 * chunk], &body[..chunk], &body[2 * chunk..]].concat();
    for damaged in [without_end, without_middle, swapped] {
        assert!(opened(&keys, &damaged).is_err());
    }
}
