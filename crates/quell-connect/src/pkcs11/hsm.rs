//! The operations of a token that are needed. All of them block.
//!
//! PKCS#11 3.1 (OASIS), and `SoftHSM` 2.6.1 itself (2026-11-23): a key whose `CKA_UNWRAP` was taken away refuses with
//! `CKR_KEY_FUNCTION_NOT_PERMITTED`, whatever it is shown; a text that another key wrapped is `CKR_GENERAL_ERROR`, which is no refusal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use quell_core::secret::SecretValue;
use sha2::{Digest as _, Sha256};

use crate::error::ConnectErrorKind;

/// A session with a token, logged in.
pub(super) struct Hsm {
    session: Session,
    label: Vec<u8>,
}

/// A wrapped key, and the id of the key that wrapped it: `0a1b:BASE64`.
pub(super) struct Wrapped {
    pub(super) by: Vec<u8>,
    text: Vec<u8>,
}

/// A key of the label.
pub(super) struct Held {
    pub(super) id: Vec<u8>,
    /// It unwraps.
    pub(super) on: bool,
}

/// What became of a try to unwrap.
pub(super) enum Opened {
    In(ObjectHandle),
    /// The key is there and may not unwrap.
    Off,
    /// There is no such key.
    Gone,
    Unclear(String),
}

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: ConnectErrorKind,
    pub(super) words: String,
}

/// `CKA_VALUE_LEN` of a key that wraps: AES-256.
const KEY_BYTES: u64 = 32;
/// RFC 3394 adds so many bytes.
const OVERHEAD: usize = 8;
/// `CKA_ID` has no limit of its own; tokens have.
const ID_MAX: usize = 64;

/// A module may be initialised once in a process, and stays.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

impl Wrapped {
    pub(super) fn parse(value: &SecretValue) -> Option<Self> {
        let (by, text) = value.expose_text()?.split_once(':')?;
        let (by, text) = (hex::decode(by).ok()?, STANDARD.decode(text).ok()?);
        let fits =
            (1..=ID_MAX).contains(&by.len()) && text.len() >= 16 + OVERHEAD && text.len().is_multiple_of(8);
        fits.then_some(Self { by, text })
    }

    pub(super) fn value(&self) -> SecretValue {
        SecretValue::from_text(format!("{}:{}", hex::encode(&self.by), STANDARD.encode(&self.text)))
    }
}

/// The id of the key that is made for a tag, so that one whose result was lost is found.
pub(super) fn id_for(tag: &str) -> Vec<u8> {
    Sha256::digest(tag).iter().take(16).copied().collect()
}

impl Failed {
    fn denied(words: impl Into<String>) -> Self {
        Self { kind: ConnectErrorKind::Denied, words: words.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let (kind, words) = match &error {
            Error::LibraryLoading(_) => {
                (ConnectErrorKind::Denied, "the module cannot be loaded: correct `module`".to_owned())
            }
            Error::Pkcs11(RvError::PinIncorrect, _) => (
                ConnectErrorKind::Denied,
                "the PIN is wrong: correct what `pin` refers to; each wrong try brings the token nearer to being locked".to_owned(),
            ),
            Error::Pkcs11(RvError::PinLocked, _) => {
                (ConnectErrorKind::Denied, "the PIN is locked: the token's security officer must set another".to_owned())
            }
            Error::Pkcs11(RvError::TokenNotPresent | RvError::SlotIdInvalid, _) => {
                (ConnectErrorKind::Unreachable, "the token is not there".to_owned())
            }
            Error::Pkcs11(RvError::ActionProhibited | RvError::AttributeReadOnly, function) => {
                (ConnectErrorKind::Denied, format!("the token does not allow it ({function:?}): the key's policy forbids changes"))
            }
            Error::Pkcs11(rv, function) => (ConnectErrorKind::Lost, format!("the module said {rv:?} ({function:?})")),
            Error::NotSupported
            | Error::TryFromInt(_)
            | Error::TryFromSlice(_)
            | Error::ParseInt(_)
            | Error::Utf8(_)
            | Error::NulError(_)
            | Error::NullFunctionPointer
            | Error::MissingSymbol(_)
            | Error::InvalidValue
            | Error::PinNotSet => {
                (ConnectErrorKind::Unexpected, crate::words::one_line(&error.to_string()))
            }
        };
        Self { kind, words }
    }
}

fn module(path: &Path) -> Result<Pkcs11, Failed> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error.into()),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn slot(module: &Pkcs11, token: &str) -> Result<Slot, Failed> {
    let mut found = None;
    for slot in module.get_slots_with_initialized_token()? {
        if module.get_token_info(slot)?.label() == token && found.replace(slot).is_some() {
            return Err(Failed::denied(format!("there are several tokens with the label `{token}`")));
        }
    }
    found.ok_or_else(|| Failed {
        kind: ConnectErrorKind::Unreachable,
        words: format!("there is no token with the label `{token}`"),
    })
}

impl Hsm {
    pub(super) fn open(path: &Path, token: &str, pin: &SecretValue, label: &str) -> Result<Self, Failed> {
        let module = module(path)?;
        let slot = slot(&module, token)?;
        let info = module.get_token_info(slot)?;
        if info.user_pin_locked() {
            return Err(Error::Pkcs11(RvError::PinLocked, cryptoki::context::Function::Login).into());
        }
        if info.user_pin_final_try() {
            let words = "one more wrong PIN locks the token, so Quell does not try its own: log in once by hand, which clears that";
            return Err(Failed::denied(words));
        }
        if !module.get_mechanism_list(slot)?.contains(&MechanismType::AES_KEY_WRAP) {
            return Err(Failed::denied("the token does not wrap keys with AES (CKM_AES_KEY_WRAP)"));
        }
        let session = module.open_rw_session(slot)?;
        let pin = pin.expose_text().ok_or_else(|| Failed::denied("the PIN is not text"))?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { session, label: label.as_bytes().to_vec() })
    }

    fn find(&self, id: &[u8]) -> Result<Option<ObjectHandle>, Failed> {
        let mut found = self.session.find_objects(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Token(true),
            Attribute::Label(self.label.clone()),
            Attribute::Id(id.to_vec()),
        ])?;
        if found.len() > 1 {
            return Err(Failed::denied(format!("there are several keys with the id {}", hex::encode(id))));
        }
        Ok(found.pop())
    }

    /// Every key of the label.
    pub(super) fn keys(&self) -> Result<Vec<Held>, Failed> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Token(true),
            Attribute::Label(self.label.clone()),
        ];
        let mut keys = Vec::new();
        for handle in self.session.find_objects(&template)? {
            let mut held = Held { id: Vec::new(), on: false };
            for attribute in
                self.session.get_attributes(handle, &[AttributeType::Id, AttributeType::Unwrap])?
            {
                if let Attribute::Id(id) = attribute {
                    held.id = id;
                } else if attribute == Attribute::Unwrap(true) {
                    held.on = true;
                }
            }
            keys.push(held);
        }
        Ok(keys)
    }

    /// Makes a key with this id, unless there is one. Whether it was there.
    pub(super) fn make(&self, id: &[u8]) -> Result<bool, Failed> {
        if self.find(id)?.is_some() {
            return Ok(true);
        }
        self.session.generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Wrap(true),
                Attribute::Unwrap(true),
                Attribute::Label(self.label.clone()),
                Attribute::Id(id.to_vec()),
                Attribute::ValueLen(KEY_BYTES.into()),
            ],
        )?;
        Ok(false)
    }

    /// Inside of the token, as an object of this session, whose value nobody can read.
    pub(super) fn unwrap(&self, wrapped: &Wrapped) -> Result<Opened, Failed> {
        let Some(key) = self.find(&wrapped.by)? else { return Ok(Opened::Gone) };
        let kind = match wrapped.text.len() - OVERHEAD {
            16 | 24 | 32 => KeyType::AES,
            _ => KeyType::GENERIC_SECRET,
        };
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(kind),
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(true),
        ];
        match self.session.unwrap_key(&Mechanism::AesKeyWrap, key, &wrapped.text, &template) {
            Ok(inside) => Ok(Opened::In(inside)),
            Err(Error::Pkcs11(RvError::KeyFunctionNotPermitted, _)) => Ok(Opened::Off),
            Err(Error::Pkcs11(
                rv @ (RvError::GeneralError
                | RvError::WrappedKeyInvalid
                | RvError::WrappedKeyLenRange
                | RvError::EncryptedDataInvalid
                | RvError::FunctionFailed),
                _,
            )) => Ok(Opened::Unclear(format!("{rv:?}: it is damaged, or another key wrapped it"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Wraps what is inside anew by another key. It never leaves the token unwrapped.
    pub(super) fn rewrap(&self, wrapped: &Wrapped, by: &[u8]) -> Result<Result<Wrapped, Opened>, Failed> {
        let inside = match self.unwrap(wrapped)? {
            Opened::In(inside) => inside,
            other @ (Opened::Off | Opened::Gone | Opened::Unclear(_)) => return Ok(Err(other)),
        };
        self.wrap(inside, by).map(Ok)
    }

    fn wrap(&self, inside: ObjectHandle, by: &[u8]) -> Result<Wrapped, Failed> {
        let gone = || Failed::denied(format!("there is no key with the id {}", hex::encode(by)));
        let key = self.find(by)?.ok_or_else(gone)?;
        let text = self.session.wrap_key(&Mechanism::AesKeyWrap, key, inside)?;
        self.session.destroy_object(inside)?;
        Ok(Wrapped { by: by.to_vec(), text })
    }

    /// A key that is made for a trial, wrapped.
    pub(super) fn sample(&self, by: &[u8]) -> Result<Wrapped, Failed> {
        let inside = self.session.generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Token(false),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(true),
                Attribute::ValueLen(KEY_BYTES.into()),
            ],
        )?;
        self.wrap(inside, by)
    }

    pub(super) fn turn_off(&self, id: &[u8]) -> Result<(), Failed> {
        let Some(key) = self.find(id)? else { return Ok(()) };
        let off = [
            Attribute::Unwrap(false),
            Attribute::Wrap(false),
            Attribute::Decrypt(false),
            Attribute::Encrypt(false),
        ];
        Ok(self.session.update_attributes(key, &off)?)
    }

    pub(super) fn destroy(&self, id: &[u8]) -> Result<(), Failed> {
        match self.find(id)? {
            Some(key) => Ok(self.session.destroy_object(key)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_names_the_one_that_wrapped_it() {
        let parse = |text: &str| Wrapped::parse(&SecretValue::from_text(text.to_owned()));
        let text = format!("0a1b:{}", STANDARD.encode([7; 40]));
        let wrapped = parse(&text).unwrap();
        assert_eq!((wrapped.by.as_slice(), wrapped.text.len()), (&[0x0a, 0x1b][..], 40));
        assert!(wrapped.value().same_as(&SecretValue::from_text(text.clone())));
        let odd = format!("0a:{}", STANDARD.encode([7; 39]));
        let short = format!("0a:{}", STANDARD.encode([7; 16]));
        for other in ["", "0a", "0a:", ":AAAA", "vault:v1:AAAA", &odd, &short, &text.replace("0a1b", "zz")] {
            assert!(parse(other).is_none(), "{other}");
        }
        assert_eq!(id_for("a").len(), 16);
        assert_ne!(id_for("a"), id_for("b"));
    }
}
