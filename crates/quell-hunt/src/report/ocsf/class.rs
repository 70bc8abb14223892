//! Which class of OCSF an access is of, and which of its activities.
//!
//! What a service calls its own reads and writes of data is "Datastore Activity", what lets somebody in is "Authentication",
//! and all else is "API Activity". What is not known for sure is activity 0, "Unknown": nothing is guessed from a resource.

use super::verb;
use crate::format::Format;
use crate::record::Access;

/// A class with its activity, by the ids of OCSF 1.8.0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// 6003: 1 create, 2 read, 3 update, 4 delete.
    Api(u32),
    /// 3002: 1 logon, 2 logoff.
    Authentication(u32),
    /// 6005: 1 read, 2 update, 4 query, 5 write, 6 create, 7 delete, 8 list.
    Datastore(u32, Store),
}

/// What holds the data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Store {
    /// `databucket`, with its `type_id`: 1 is S3, 3 one of Google's.
    Bucket(u32),
    /// `database`: a relational one.
    Database,
    /// `table`.
    Table,
}

pub(super) const UNKNOWN: u32 = 0;
pub(super) const OTHER: u32 = 99;

impl Class {
    pub(super) fn of(access: &Access) -> Self {
        let action = access.action.as_str();
        let found = match access.format {
            Format::Cloudtrail => cloudtrail(action),
            Format::Gcp => google(action),
            Format::Mariadb => Some(database(action)),
            Format::PostgresCsv | Format::PostgresJson => Some(database(without_class(action))),
            Format::S3 => Some(Self::Datastore(s3(action), Store::Bucket(1))),
            Format::Syslog => action.starts_with("ssh").then_some(Self::Authentication(1)),
            Format::Azure => action.starts_with("Sign-in activity").then_some(Self::Authentication(1)),
            Format::Vault => vault(action),
            Format::CloudtrailDigest
            | Format::Combined
            | Format::Github
            | Format::Kubernetes
            | Format::Tradepulse
            | Format::Vsync
            | Format::JsonLines
            | Format::MappedCsv
            | Format::MappedJson
            | Format::Text => None,
        };
        found.unwrap_or_else(|| Self::Api(api(access)))
    }

    /// `class_uid`.
    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Api(_) => 6003,
            Self::Authentication(_) => 3002,
            Self::Datastore(..) => 6005,
        }
    }

    /// `category_uid`: the thousands of the class.
    pub(super) fn category(self) -> u32 {
        self.uid() / 1000
    }

    /// `activity_id`.
    pub(super) fn activity(self) -> u32 {
        match self {
            Self::Api(activity) | Self::Authentication(activity) | Self::Datastore(activity, _) => activity,
        }
    }
}

fn cloudtrail(action: &str) -> Option<Class> {
    let (service, name) = action.split_once(':')?;
    let activity = match (service, name) {
        ("signin", "ConsoleLogin") => return Some(Class::Authentication(1)),
        ("s3", "GetObject" | "HeadObject" | "SelectObjectContent")
        | ("dynamodb", "GetItem" | "BatchGetItem") => 1,
        ("dynamodb", "UpdateItem") => 2,
        ("dynamodb", "Query" | "Scan") => 4,
        ("s3", "PutObject" | "CopyObject" | "UploadPart" | "CompleteMultipartUpload")
        | ("dynamodb", "PutItem" | "BatchWriteItem") => 5,
        ("s3", "DeleteObject" | "DeleteObjects") | ("dynamodb", "DeleteItem") => 7,
        ("s3", "ListObjects" | "ListObjectsV2" | "ListObjectVersions") => 8,
        _ => return None,
    };
    let store = if service == "s3" { Store::Bucket(1) } else { Store::Table };
    Some(Class::Datastore(activity, store))
}

fn google(action: &str) -> Option<Class> {
    let activity = match action.strip_prefix("storage:storage.objects.")? {
        "get" => 1,
        "update" | "patch" => 2,
        "create" => 5,
        "delete" => 7,
        "list" => 8,
        _ => UNKNOWN,
    };
    Some(Class::Datastore(activity, Store::Bucket(3)))
}

fn database(action: &str) -> Class {
    let activity = match action {
        "connect" => return Class::Authentication(1),
        "disconnect" => return Class::Authentication(2),
        "READ table" => 1,
        "COPY TO" | "COPY TO PROGRAM" => 1,
        "INSERT" | "COPY" | "COPY FROM" | "COPY FROM PROGRAM" | "WRITE table" => 5,
        "UPDATE" | "MERGE" => 2,
        "DELETE" | "TRUNCATE" | "TRUNCATE TABLE" => 7,
        tag if tag == "SELECT" || tag.starts_with("SELECT ") => 4,
        tag if tag.starts_with("CREATE ") => 6,
        tag if tag.starts_with("ALTER ") => 2,
        tag if tag.starts_with("DROP ") => 7,
        _ => UNKNOWN,
    };
    Class::Datastore(activity, Store::Database)
}

/// The command behind a class of `pgaudit`'s.
fn without_class(action: &str) -> &str {
    let classes = ["DDL ", "FUNCTION ", "MISC ", "MISC_SET ", "READ ", "ROLE ", "WRITE "];
    classes.iter().find_map(|class| action.strip_prefix(class)).unwrap_or(action)
}

/// `REST.GET.OBJECT`: the second word is the method, the third what it is of.
fn s3(action: &str) -> u32 {
    let mut words = action.split('.').skip(1);
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        ("GET", "BUCKET" | "BUCKETVERSIONS") => 8,
        ("GET" | "HEAD", _) => 1,
        ("PUT" | "POST" | "COPY", _) => 5,
        ("DELETE", _) => 7,
        _ => UNKNOWN,
    }
}

/// `update auth/userpass/login/somebody`.
fn vault(action: &str) -> Option<Class> {
    let (_, path) = action.split_once(' ')?;
    let mut parts = path.split('/');
    let login = parts.next() == Some("auth") && parts.skip(1).any(|part| part == "login");
    login.then_some(Class::Authentication(1))
}

/// By what the log says of it, then by the verb that its name begins with.
fn api(access: &Access) -> u32 {
    if access.reads == Some(true) {
        return 2;
    }
    let verb = verb(&access.action).to_ascii_lowercase();
    let begins = |list: &[&str]| list.iter().any(|word| verb.starts_with(word));
    if begins(&["create", "post", "issue", "generate", "upload"]) {
        1
    } else if begins(&["delete", "remove", "terminate", "destroy"]) {
        4
    } else if begins(&["update", "put", "patch", "modify", "set", "attach", "detach"]) {
        3
    } else if access.reads == Some(false) {
        OTHER
    } else if begins(&["get", "list", "describe", "head", "read", "lookup"]) {
        2
    } else {
        UNKNOWN
    }
}
