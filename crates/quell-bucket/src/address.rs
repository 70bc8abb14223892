//! The address of a folder in a bucket, as people write it.

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

/// A folder or an object in a bucket.
#[derive(Clone, Debug)]
pub struct Address {
    /// As it was given; nothing secret is in it.
    pub(crate) url: Url,
    pub(crate) kind: Kind,
    /// The key of the folder, without a slash at its ends.
    pub(crate) folder: Path,
}

/// Whose store it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Gcs,
    /// Amazon S3, or what speaks as it does.
    S3,
}

/// Why a text is no address that can be read. The text itself is not repeated: it may hold a password.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// What it says cannot be understood.
    #[error(
        "the address of the logs is no URL of a bucket ({why}): give s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER"
    )]
    NoBucket {
        /// What is wrong with it.
        why: String,
    },
    /// Credentials stand in it, or may.
    #[error(
        "the address of the logs holds {what}: URLs are seen by other processes and kept by shells. Give credentials by the environment variables of the store"
    )]
    Secret {
        /// What stands there.
        what: &'static str,
    },
}

impl Address {
    /// Whose store it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a text is meant as one, and not as the path of a file.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }

    /// Reads `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, `abfss://container@account.dfs.core.windows.net/folder`
    /// and the `https://` addresses of these stores
    /// (<https://docs.rs/object_store/0.14.2/object_store/enum.ObjectStoreScheme.html>).
    ///
    /// # Errors
    /// When it is none of these, or has a user, a password, a query or a fragment: a shared access signature is a query.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let no_bucket = |why: &dyn std::fmt::Display| AddressError::NoBucket { why: why.to_string() };
        let url = Url::parse(text).map_err(|error| no_bucket(&error))?;
        // `abfss://container@account…` is how Azure writes it: there what stands before the `@` is no user.
        let azure = ["abfs", "abfss", "adl", "az", "azure"].contains(&url.scheme());
        if url.password().is_some() || (!azure && !url.username().is_empty()) {
            return Err(AddressError::Secret { what: "a user or a password" });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Secret { what: "a query, as signatures are" });
        }
        let (scheme, folder) =
            ObjectStoreScheme::parse(&url).map_err(|_error| no_bucket(&"no store has such addresses"))?;
        let kind = Kind::of(&scheme).ok_or_else(|| no_bucket(&"no store has such addresses"))?;
        Ok(Self { url, kind, folder })
    }
}

impl Kind {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum of the crate may grow, and the rest are no buckets"
    )]
    fn of(scheme: &ObjectStoreScheme) -> Option<Self> {
        match scheme {
            ObjectStoreScheme::AmazonS3 => Some(Self::S3),
            ObjectStoreScheme::GoogleCloudStorage => Some(Self::Gcs),
            ObjectStoreScheme::MicrosoftAzure => Some(Self::Azure),
            _ => None,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_stores_are_understood() {
        for (text, kind, folder) in [
            ("s3://logs/AWSLogs/1/", Kind::S3, "AWSLogs/1"),
            ("s3://logs", Kind::S3, ""),
            ("https://logs.s3.eu-west-1.amazonaws.com/a/b", Kind::S3, "a/b"),
            ("gs://logs/a", Kind::Gcs, "a"),
            ("az://container/a%20b", Kind::Azure, "a b"),
            ("abfss://container@account.dfs.core.windows.net/a", Kind::Azure, "a"),
            ("https://account.blob.core.windows.net/container/a", Kind::Azure, "a"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.kind, address.folder.as_ref()), (kind, folder), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_refused_and_not_repeated() {
        let pass = "hunter".to_owned() + "2000";
        for text in [
            format!("s3://key:{pass}@logs/a"),
            format!("s3://{pass}@logs/a"),
            format!("abfss://container:{pass}@account.dfs.core.windows.net/a"),
            format!("https://account.blob.core.windows.net/container?sig={pass}"),
            format!("gs://logs/a#{pass}"),
            format!("https://{pass}.example/a"),
            format!("ftp://{pass}/a"),
        ] {
            let error = Address::parse(&text).unwrap_err().to_string();
            assert!(!error.contains(&pass), "{error}");
        }
        assert!(Address::is_meant("s3://x") && Address::is_meant("ftp://x"));
        assert!(!Address::is_meant("./logs") && !Address::is_meant("a/b://c") && !Address::is_meant("://"));
    }
}
