//! An HSM in software: `SoftHSM` 2 (<https://www.softhsm.org>), a PKCS#11 module with its tokens in a temporary folder.
//!
//! The module reads where its tokens are from `SOFTHSM2_CONF`, once in a process. So a test that needs one runs itself again with that
//! set ([`alone`]).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

/// The PIN of every token's user.
pub const PIN: &str = "4711-orders";

/// The label of the token.
pub const TOKEN: &str = "quell-test";

const FOLDER: &str = "QUELL_TEST_HSM";
/// The file in which a test says that it was begun.
const BEGUN: &str = "begun";

/// A token, as a consumer sees it.
#[derive(Debug)]
pub struct Hsm {
    session: Session,
}

/// Runs the test of this name again in a process of its own with a fresh token, and gives `None`; in there, the folder of the token.
pub fn alone(test: &str) -> anyhow::Result<Option<PathBuf>> {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        std::fs::write(folder.join(BEGUN), test)?;
        return Ok(Some(folder));
    }
    let folder = tempfile::tempdir()?;
    let (tokens, configuration) = (folder.path().join("tokens"), folder.path().join("softhsm2.conf"));
    std::fs::create_dir(&tokens)?;
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&configuration, text)?;
    let made = Command::new(crate::program("softhsm2-util", &["/usr/bin"])?)
        .args(["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "4711-officer"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()?;
    ensure!(made.status.success(), "softhsm2-util: {}", String::from_utf8_lossy(&made.stderr));
    let status = Command::new(std::env::current_exe()?)
        .args([test, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(FOLDER, folder.path())
        .status()?;
    ensure!(status.success(), "{test} failed in a process of its own");
    // A name that no test has is no failure of the process.
    let begun = std::fs::read_to_string(folder.path().join(BEGUN)).unwrap_or_default();
    ensure!(begun == test, "there is no test `{test}`");
    Ok(None)
}

/// The module.
pub fn module() -> anyhow::Result<PathBuf> {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let found = places.into_iter().map(Path::new).find(|path| path.is_file());
    Ok(found.context("there is no SoftHSM on this machine; run dev/setup")?.to_owned())
}

impl Hsm {
    /// Logs in. In a process that [`alone`] started.
    pub fn open() -> anyhow::Result<Self> {
        let module = Pkcs11::new(module()?)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let slots = module.get_slots_with_initialized_token()?;
        let slot = slots
            .into_iter()
            .find(|slot| module.get_token_info(*slot).is_ok_and(|token| token.label() == TOKEN));
        let session = module.open_rw_session(slot.context("no token")?)?;
        match session.login(UserType::User, Some(&AuthPin::new(PIN.into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { session })
    }

    /// Makes a key that wraps others.
    pub fn key(&self, label: &str, id: &[u8]) -> anyhow::Result<()> {
        self.session.generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Wrap(true),
                Attribute::Unwrap(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(id.to_vec()),
                Attribute::ValueLen(32_u64.into()),
            ],
        )?;
        Ok(())
    }

    /// A data key, wrapped.
    pub fn wrapped(&self, label: &str, id: &[u8], inside: &[u8]) -> anyhow::Result<Vec<u8>> {
        let key = self.find(label, id)?.context("no such key")?;
        let inside = self.session.create_object(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Extractable(true),
            Attribute::Value(inside.to_vec()),
        ])?;
        Ok(self.session.wrap_key(&Mechanism::AesKeyWrap, key, inside)?)
    }

    /// What is inside, as a consumer gets it; `None` when the token refuses.
    pub fn inside(&self, label: &str, id: &[u8], wrapped: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(key) = self.find(label, id)? else { return Ok(None) };
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ];
        let inside = match self.session.unwrap_key(&Mechanism::AesKeyWrap, key, wrapped, &template) {
            Ok(inside) => inside,
            Err(Error::Pkcs11(RvError::KeyFunctionNotPermitted | RvError::GeneralError, _)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let values = self.session.get_attributes(inside, &[cryptoki::object::AttributeType::Value])?;
        let value = values
            .into_iter()
            .find_map(|attribute| if let Attribute::Value(value) = attribute { Some(value) } else { None });
        Ok(Some(value.context("no value")?))
    }

    /// How many keys have a label.
    pub fn count(&self, label: &str) -> anyhow::Result<usize> {
        let label = Attribute::Label(label.as_bytes().to_vec());
        Ok(self.session.find_objects(&[Attribute::Token(true), label])?.len())
    }

    fn find(&self, label: &str, id: &[u8]) -> anyhow::Result<Option<ObjectHandle>> {
        let label = Attribute::Label(label.as_bytes().to_vec());
        let found =
            self.session.find_objects(&[Attribute::Token(true), label, Attribute::Id(id.to_vec())])?;
        Ok(found.first().copied())
    }
}
