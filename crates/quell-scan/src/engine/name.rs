//! What a name says about the value that is assigned to it.

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

const PASSWORDS: &str =
    "password passwd passphrase passcode pwd passwort kennwort senha contrasena wachtwoord";

/// `xpass` is a password for these.
const PASS_OF: &str = "admin auth bind db database ftp http imap irc key ldap login mail my mysql pg postgres proxy redis \
    root sftp smtp sql ssh store su sudo svn user usr vpn web wifi";

const TOKENS: &str = "secret token apikey credential credentials creds bearer authtoken";

/// `x_key` is a secret for these.
const STRONG_KEYS: &str = "access account admin aes api app application auth client consumer cookie crypt crypto deploy encrypt \
    encryption hmac ingest integration jwt license master private project secret secure security server \
    service session shared sign signing storage subscription token webhook write logged in nonce salt \
    rest decryption machine validation";

/// `x_key` is none for these.
const OTHER_KEYS: &str = "cache column composite config dedup dict event field foreign group hash header hot idempotency index \
    i18n item json label lang lookup map message object partition primary pub public publishable \
    registry routing row short site sort state translation unique verifying verification host known \
    range shard merge";

/// After the secret word: the name is of something about a secret.
const ABOUT: &str = "filenames files address age alg algorithm arn attempts attr attribute audience button callback check checksum class \
    col column confirmation count counter created desc description digest dir directory enabled encoder \
    encoding endpoint env error exists expiration expire expires expiry field file filename folder form \
    format from generator handler hash header help hint icon id identifier idx index input instructions \
    invalid issuer kind label len length lifetime limit link list loc location manager max message \
    method min mode model msg name names number option options param parameter path pattern placeholder \
    policy pos position prefix prompt property provider ref reference regex regexp required reset role \
    rule rules scheme scope scopes service size source span state status strength suffix table template \
    text timeout title ttl type types updated uri url usage validator validity var variable vault \
    version width sha sha1 sha256 md5 hashed encrypted keyid regexes selector element xpath css page \
    view screen fields params set map auth_method bytes bits color";

/// Before the secret word: no secret, or a made-up one.
const NO_SECRET: &str = "anti bad batch check cipher confirm continuation contains count crypted csrf cursor design digest \
    dummy encrypted etag expired fake fetch find forgot generate get has hash hashed hide incorrect \
    invalid is load max md5 min missing mock next no num page pagination parse parser placeholder prev \
    print prompt public publishable read reset resume sha1 sha256 show sync syntax total use validate \
    verify wrong xsrf checksum commit lexer nopasswd require requires semantic";

/// Whether a word is in a list of words with blanks between them.
pub(super) fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

/// What a name such as `dbPassword`, `X-Api-Key` or `spring.mail.password` promises; `None` when it names no secret.
pub(super) fn class(name: &[u8]) -> Option<Class> {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (at, class) =
        (0..words.len()).rev().find_map(|at| secret_word(&words, at).map(|class| (at, class)))?;
    let (before, after) = (words.get(..at)?, words.get(at + 1..)?);
    let approle = words.get(at) == Some(&"secret") && after == ["id"];
    if after.iter().any(|word| listed(ABOUT, word)) && !approle {
        return None;
    }
    if before.iter().any(|word| listed(NO_SECRET, word)) { None } else { Some(class) }
}

/// Whether the secret word is the name's last.
pub(super) fn ends_secret(name: &[u8]) -> bool {
    let words = words(name);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Rails' `secret_key_base`.
    words.pop_if(|last| *last == "base");
    words.len().checked_sub(1).is_some_and(|last| secret_word(&words, last).is_some())
}

fn secret_word(words: &[&str], at: usize) -> Option<Class> {
    let word = words.get(at)?.trim_end_matches(|sign: char| sign.is_ascii_digit());
    let before = at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
    let pass = || word.strip_suffix("pass").is_some_and(|of| of.is_empty() || listed(PASS_OF, of));
    if PASSWORDS.split_whitespace().any(|known| word.ends_with(known))
        || pass()
        || matches!(word, "pw" | "psk")
    {
        return Some(Class::Password);
    }
    if TOKENS.split_whitespace().any(|known| word.ends_with(known)) {
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
    if listed(STRONG_KEYS, of) && !listed(OTHER_KEYS, before) {
        return Some(Class::Token);
    }
    if listed(OTHER_KEYS, of) { None } else { Some(Class::Key) }
}

/// The lower-case words of a name: parted by signs, digits and capitals.
pub(super) fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
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
        let word = char::from(byte.to_ascii_lowercase());
        match words.last_mut().filter(|_| !fresh && !hump) {
            Some(current) => current.push(word),
            None => words.push(word.to_string()),
        }
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
        assert_eq!(words(b"spring.mail-userAPIKey_2"), ["spring", "mail", "user", "api", "key", "2"]);
        assert_eq!(words(b"DB_PASSWORD"), ["db", "password"]);
        assert_eq!(words(b""), Vec::<String>::new());
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
