//! What a name says about the value that is assigned to it.

use super::lexicon::Lexicon;

/// What a name promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// `password` and its like: values that people make up, too.
    Password,
    /// `token`, `secret`, `api_key`: generated values.
    Token,
    /// Some `key`: most are no secrets.
    Key,
}

static PASSWORDS: Lexicon =
    Lexicon::new("password passwd passphrase passcode pwd passwort kennwort senha contrasena wachtwoord");

/// `xpass` is a password for these.
static PASS_OF: Lexicon = Lexicon::new(
    "admin auth bind db database ftp http imap irc key ldap login mail my mysql pg postgres proxy redis \
    root sftp smtp sql ssh store su sudo svn user usr vpn web wifi",
);

static TOKENS: Lexicon = Lexicon::new("secret token apikey credential credentials creds bearer authtoken");

/// `x_key` is a secret for these.
static STRONG_KEYS: Lexicon = Lexicon::new(
    "access account admin aes api app application auth client consumer cookie crypt crypto deploy encrypt \
    encryption hmac ingest integration jwt license master private project secret secure security server \
    service session shared sign signing storage subscription token webhook write logged in nonce salt \
    rest decryption machine validation",
);

/// `x_key` is none for these.
static OTHER_KEYS: Lexicon = Lexicon::new(
    "cache column composite config dedup dict event field foreign group hash header hot idempotency index \
    i18n item json label lang lookup map message object partition primary pub public publishable \
    registry routing row short site sort state translation unique verifying verification host known \
    range shard merge",
);

/// After the secret word: the name is of something about a secret.
static ABOUT: Lexicon = Lexicon::new(
    "filenames files address age alg algorithm arn attempts attr attribute audience button callback check checksum class \
    col column confirmation count counter created desc description digest dir directory enabled encoder \
    encoding endpoint env error exists expiration expire expires expiry field file filename folder form \
    format from generator handler hash header help hint icon id identifier idx index input instructions \
    invalid issuer kind label len length lifetime limit link list loc location manager max message \
    method min mode model msg name names number option options param parameter path pattern placeholder \
    policy pos position prefix prompt property provider ref reference regex regexp required reset role \
    rule rules scheme scope scopes service size source span state status strength suffix table template \
    text timeout title ttl type types updated uri url usage validator validity var variable vault \
    version width sha sha1 sha256 md5 hashed encrypted keyid regexes selector element xpath css page \
    view screen fields params set map auth_method bytes bits color",
);

/// Before the secret word: no secret, or a made-up one.
static NO_SECRET: Lexicon = Lexicon::new(
    "anti bad batch check cipher confirm continuation contains count crypted csrf cursor design digest \
    dummy encrypted etag expired fake fetch find forgot generate get has hash hashed hide incorrect \
    invalid is load max md5 min missing mock next no num page pagination parse parser placeholder prev \
    print prompt public publishable read reset resume sha1 sha256 show sync syntax total use validate \
    verify wrong xsrf checksum commit lexer nopasswd require requires semantic",
);

/// What a name such as `dbPassword`, `X-Api-Key` or `spring.mail.password` promises; `None` when it names no secret.
pub(super) fn class(name: &[u8]) -> Option<Class> {
    let words = words(name);
    let words: Vec<&str> = words.split(' ').collect();
    let (at, class) =
        (0..words.len()).rev().find_map(|at| secret_word(&words, at).map(|class| (at, class)))?;
    let (before, after) = (words.get(..at)?, words.get(at + 1..)?);
    let approle = words.get(at) == Some(&"secret") && after == ["id"];
    if after.iter().any(|word| ABOUT.has(word)) && !approle {
        return None;
    }
    if before.iter().any(|word| NO_SECRET.has(word)) { None } else { Some(class) }
}

/// Whether the secret word is the name's last.
pub(super) fn ends_secret(name: &[u8]) -> bool {
    let words = words(name);
    let mut words: Vec<&str> = words.split(' ').collect();
    // Rails' `secret_key_base`.
    words.pop_if(|last| *last == "base");
    words.len().checked_sub(1).is_some_and(|last| secret_word(&words, last).is_some())
}

fn secret_word(words: &[&str], at: usize) -> Option<Class> {
    let word = words.get(at)?.trim_end_matches(|sign: char| sign.is_ascii_digit());
    let before = at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
    let pass = || word.strip_suffix("pass").is_some_and(|of| of.is_empty() || PASS_OF.has(of));
    if PASSWORDS.end(word) || pass() || matches!(word, "pw" | "psk") {
        return Some(Class::Password);
    }
    if TOKENS.end(word) {
        return Some(Class::Token);
    }
    if matches!(word, "auth" | "authorization" | "salt") && words.len() <= at + 1 {
        return Some(Class::Key);
    }
    let stem = word.strip_suffix("key")?;
    let of = if stem.is_empty() { before } else { stem };
    if matches!(of, "mon" | "tur" | "don" | "whis" | "joc" | "hoc") {
        return None;
    }
    if STRONG_KEYS.has(of) && !OTHER_KEYS.has(before) {
        return Some(Class::Token);
    }
    if OTHER_KEYS.has(of) { None } else { Some(Class::Key) }
}

/// The lower-case words of a name, with a blank between them: parted by signs, digits and capitals.
pub(super) fn words(name: &[u8]) -> String {
    let mut words = String::with_capacity(name.len().saturating_mul(2));
    let mut last = b' ';
    let mut fresh = true;
    for (at, byte) in name.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            fresh = true;
            last = *byte;
            continue;
        }
        let next_lower = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let hump = byte.is_ascii_uppercase()
            && (last.is_ascii_lowercase()
                || last.is_ascii_digit()
                || (last.is_ascii_uppercase() && next_lower));
        if (fresh || hump) && !words.is_empty() {
            words.push(' ');
        }
        words.push(char::from(byte.to_ascii_lowercase()));
        fresh = false;
        last = *byte;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_words() {
        assert_eq!(words(b"spring.mail-userAPIKey_2"), "spring mail user api key 2");
        assert_eq!(words(b"_DB__PASSWORD_"), "db password");
        assert_eq!(words(b""), "");
    }

    #[test]
    fn names_promise() {
        for name in [
            "password",
            "DB_PASSWD",
            "userPwd",
            "dbpass",
            "smtp.pass",
            "ansible_ssh_pass",
            "keyPassphrase",
            "pw",
        ] {
            assert_eq!(class(name.as_bytes()), Some(Class::Password), "{name}");
        }
        for name in [
            "secret",
            "apiKey",
            "X-Api-Key",
            "client_secret",
            "accessToken",
            "GITHUB_TOKEN",
            "secretKeyBase",
            "encryption_key",
            "token_prod",
            "apikey",
            "secret_id",
            "STRIPE_SECRET",
        ] {
            assert_eq!(class(name.as_bytes()), Some(Class::Token), "{name}");
        }
        for name in ["key", "datadogKey", "_auth", "maps_key"] {
            assert_eq!(class(name.as_bytes()), Some(Class::Key), "{name}");
        }
        for name in [
            "public_key",
            "token_url",
            "password_field",
            "secretName",
            "access_key_id",
            "tokenizer",
            "max_tokens",
            "password_hash",
            "csrf_token",
            "pass_filenames",
            "passive",
            "compass",
            "bypass",
            "tokens",
            "monkey",
            "keyword",
            "forgot_password",
            "primary_key",
            "hashedPassword",
            "nextPageToken",
            "getToken",
        ] {
            assert_eq!(class(name.as_bytes()), None, "{name}");
        }
    }
}
