//! The issuers whose tokens are taken beside our own: a file of its own, for an issuer has more than one setting.
//!
//! What always holds: what is read is checked as a whole, and an error names the file, the issuer and the setting. No
//! setting is a secret: all that is needed of an issuer is public.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::Url;
use serde::Deserialize;

use super::account::PREFIX;

/// Issuers by configuration.
#[derive(Debug, Clone, Default)]
pub struct Issuers(Vec<IssuerSettings>);

/// One `[[issuer]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IssuerSettings {
    /// Identity of the issuer, exactly as `iss` has it, and where its discovery document is found.
    pub url: Address,
    /// What `aud` has to be, or to have among others.
    pub audience: String,
    /// Algorithms it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Stands before its subjects, and a colon between.
    pub prefix: String,
    /// Claim that is the subject.
    #[serde(default = "sub")]
    pub subject_claim: String,
    /// Where its keys are, if that is not to be asked of its discovery document.
    pub jwks_url: Option<Address>,
    /// PEM file with the only CA its server's certificate may be of; those of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// How often its keys are fetched, in seconds.
    #[serde(default = "ten_minutes")]
    pub refresh_seconds: u64,
    /// How long keys are used after they were fetched for the last time, in seconds.
    #[serde(default = "a_day")]
    pub keys_max_age_seconds: u64,
}

/// An address of an issuer: https, or http to this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    /// As it stands in the file.
    pub text: String,
    /// As it is asked.
    pub url: Url,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    issuer: Vec<toml::Spanned<toml::Value>>,
}

fn sub() -> String {
    "sub".to_owned()
}

fn ten_minutes() -> u64 {
    600
}

fn a_day() -> u64 {
    86_400
}

/// Those by which a public key verifies. A shared secret is not among them: what is published would be the secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

impl Issuers {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(path: &str) -> Result<Issuers, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("reading {path}: {error}"))?;
        Issuers::parse(&text).map_err(|why| format!("{path}: {why}"))
    }

    fn parse(text: &str) -> Result<Issuers, String> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| {
            format!("line {}: {}", error.span().map_or(1, |span| line(span.start)), error.message())
        })?;
        let mut issuers: Vec<IssuerSettings> = Vec::new();
        for entry in file.issuer {
            let at = line(entry.span().start);
            let wrong = |why: String| format!("the issuer in line {at}: {why}");
            let issuer = IssuerSettings::deserialize(entry.into_inner());
            let issuer = issuer.map_err(|error| wrong(error.message().to_owned()))?;
            issuer.check().map_err(wrong)?;
            for other in &issuers {
                if other.url.text == issuer.url.text {
                    return Err(wrong(format!("{} is there twice", issuer.url.text)));
                }
                if other.prefix == issuer.prefix {
                    return Err(wrong(format!("prefix {:?} is that of {}", issuer.prefix, other.url.text)));
                }
            }
            issuers.push(issuer);
        }
        Ok(Issuers(issuers))
    }
}

impl IntoIterator for Issuers {
    type Item = IssuerSettings;
    type IntoIter = std::vec::IntoIter<IssuerSettings>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl IssuerSettings {
    fn check(&self) -> Result<(), String> {
        if self.audience.is_empty() {
            return Err("audience must not be empty: it is how tokens for others are told".to_owned());
        }
        if self.algorithms.is_empty() || !self.algorithms.iter().all(|one| ALGORITHMS.contains(one)) {
            return Err(format!("algorithms must be some of {ALGORITHMS:?}"));
        }
        let bytes = self.prefix.as_bytes();
        let legal =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if !(1..=32).contains(&bytes.len()) || !bytes.iter().all(legal) {
            return Err("prefix must be 1 to 32 lower-case letters, digits, '-' and '.'".to_owned());
        }
        if self.prefix == PREFIX {
            return Err(format!("prefix {PREFIX:?} is that of service accounts"));
        }
        if !(1..=64).contains(&self.subject_claim.len()) {
            return Err("subject-claim must be the name of a claim".to_owned());
        }
        if !(1..=86_400).contains(&self.refresh_seconds) {
            return Err("refresh-seconds must be from 1 to 86400".to_owned());
        }
        if !(self.refresh_seconds..=604_800).contains(&self.keys_max_age_seconds) {
            return Err("keys-max-age-seconds must be from refresh-seconds to 604800".to_owned());
        }
        Ok(())
    }

    pub(super) fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_seconds)
    }

    pub(super) fn keys_max_age(&self) -> Duration {
        Duration::from_secs(self.keys_max_age_seconds)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    /// Keys that come over a connection that anybody on the way can change are anybody's keys.
    fn try_from(text: String) -> Result<Address, String> {
        let legal = |url: &Url| {
            let bare = url.username().is_empty() && url.password().is_none();
            let whole = url.query().is_none() && url.fragment().is_none();
            bare && whole && (url.scheme() == "https" || is_loopback(url))
        };
        match Url::parse(&text) {
            Ok(url) if legal(&url) => Ok(Address { text, url }),
            _ => {
                Err("an address must be https://HOST[:PORT][/PATH]; http:// is for loopback alone".to_owned())
            }
        }
    }
}

/// Plain HTTP to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    url.scheme() == "http" && host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[issuer]]\nurl = \"https://id.example.org/realms/main\"\naudience = \"rempart\"\n\
                        algorithms = [\"RS256\", \"ES256\"]\nprefix = \"corp\"\n";

    #[test]
    fn an_issuer_needs_four_settings_and_has_defaults_for_the_rest() {
        let issuers = Issuers::parse(GOOD).unwrap();
        let issuer = issuers.into_iter().next().unwrap();
        assert_eq!(issuer.url.text, "https://id.example.org/realms/main");
        assert_eq!((issuer.refresh_seconds, issuer.keys_max_age_seconds), (600, 86_400));
        assert_eq!((issuer.subject_claim.as_str(), issuer.algorithms.len()), ("sub", 2));
        assert_eq!(Issuers::parse("").unwrap().into_iter().count(), 0);
        let local = GOOD.replace("https://id.example.org", "http://127.0.0.1:5556");
        assert!(Issuers::parse(&local).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (from, to, words) in [
            ("https://", "http://", "line 1: an address must be https://"),
            ("https://", "http://127.0.0.1.example.org/", "must be https://"),
            ("https://", "http://user:secret@127.0.0.1/", "must be https://"),
            ("https://", "ftp://", "must be https://"),
            ("https://id", "id", "line 1"),
            ("/main\"", "/main?x=1\"", "must be https://"),
            ("\"rempart\"", "\"\"", "audience"),
            ("\"ES256\"", "\"HS256\"", "algorithms must be some of [RS256"),
            ("\"ES256\"", "\"none\"", "none"),
            ("[\"RS256\", \"ES256\"]", "[]", "algorithms"),
            ("\"corp\"", "\"corp:x\"", "prefix"),
            ("\"corp\"", "\"\"", "prefix"),
            ("\"corp\"", "\"sa\"", "service accounts"),
            ("prefix", "prefx", "prefx"),
            ("prefix = \"corp\"", "", "prefix"),
            ("prefix", "refresh-seconds = 0\nprefix", "refresh-seconds"),
            ("prefix", "keys-max-age-seconds = 5\nprefix", "keys-max-age-seconds"),
            ("[[issuer]]", "[issuer", "line 1"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let why = Issuers::parse(&text).expect_err(&text);
            assert!(why.contains(words), "{words:?} is not in {why:?}");
        }
        let twice = format!("{GOOD}\n{}", GOOD.replace("corp", "other"));
        assert!(Issuers::parse(&twice).unwrap_err().contains("twice"));
        let prefix = format!("{GOOD}\n{}", GOOD.replace("main", "other"));
        assert!(Issuers::parse(&prefix).unwrap_err().contains("prefix"));
        assert!(Issuers::read("/nowhere/issuers.toml").unwrap_err().contains("/nowhere/issuers.toml"));
    }
}
