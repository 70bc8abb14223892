//! TLS in the process, spoken by real clients.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use quell_app::person;
use quell_core::inventory::Inventory;
use quell_core::person::Role;
use quell_testkit::openssl::{self, Authority};
use quell_web::{Config, TlsFiles};
use reqwest::tls::{TlsInfo, Version};
use reqwest::{Method, StatusCode};
use tokio::sync::watch;

use super::world::{Form as _, Trust, World, read};

const FROM: &str = "20200101000000Z";
const UNTIL: &str = "20691231000000Z";

/// Both files, in a folder; the key is for its owner alone.
fn put(folder: &Path, (certificate, key): &(String, String)) -> TlsFiles {
    let files = TlsFiles { certificate: folder.join("quell.pem"), key: folder.join("quell.key") };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    files
}

pub(super) struct Served {
    pub(super) world: World,
    pub(super) trust: Trust,
    authority: Authority,
    files: TlsFiles,
    reload: watch::Sender<u64>,
}

pub(super) async fn served(change: impl FnOnce(&mut Config)) -> Served {
    let authority = Authority::new().unwrap();
    let pair = authority.issue(&[], FROM, UNTIL).unwrap();
    let trust = Trust(Some(authority.certificate.clone()));
    let (reload, asked) = watch::channel(0);
    let mut files = None;
    let world = World::with(Inventory::default(), BTreeMap::new(), &trust, |config, folder| {
        config.tls = Some(put(folder, &pair));
        config.reload = asked;
        files.clone_from(&config.tls);
        change(config);
    })
    .await;
    Served { world, trust, authority, files: files.unwrap(), reload }
}

/// The certificate that a client got an answer with.
async fn shown(client: &reqwest::Client, world: &World) -> Vec<u8> {
    let answer = client.get(format!("{}/healthz", world.url)).send().await.unwrap();
    let info: &TlsInfo = answer.extensions().get().unwrap();
    let shown = info.peer_certificate().unwrap().to_vec();
    assert_eq!(answer.text().await.unwrap(), "ok\n");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_over_tls_have_cookies_that_no_other_way_sees() {
    let Served { world, trust, .. } = served(|_| {}).await;
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let builder = trust.builder().min_tls_version(version).max_tls_version(version);
        let answer = builder.build().unwrap().get(format!("{}/sign-in", world.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{version:?}");
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
    let stranger = Trust::default().client().get(format!("{}/healthz", world.url)).send().await;
    assert!(stranger.unwrap_err().is_connect(), "nobody vouches for it");

    world.session("ines", Role::Viewer).await;
    let people = person::people(&world.app).await.unwrap();
    let (at, now) = (person::At::Machine, quell_app::clock::now());
    let code = person::code(&world.app, &people, "ines", at, now).await.unwrap();
    let sign_in = world.ask(Method::POST, "/sign-in").header("origin", &world.url);
    let answer = sign_in.form(&[("code", code.expose_text().unwrap())]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-quell=") && cookie.ends_with("; Secure"), "a cookie of TLS only");
    let cookie = cookie.split(';').next().unwrap();
    let (status, page) =
        read(world.ask(Method::GET, "/incidents").header("cookie", cookie).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    // The same host without TLS is another origin.
    let plain = world.url.replace("https://", "http://");
    let form = world.ask(Method::POST, "/sign-in").header("origin", plain).form(&[("code", "x")]);
    assert_eq!(form.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_http_without_tls_is_told_so() {
    let Served { world, .. } = served(|_| {}).await;
    let address = world.url.trim_start_matches("https://").to_owned();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: quell\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let said = said.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(said.contains("this port speaks TLS") && !said.contains("ok\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_no_connection_is_cut() {
    let Served { world, trust, authority, files, reload } = served(|_| {}).await;
    let client = || trust.builder().tls_info(true).build().unwrap();
    let kept = client();
    let first = shown(&kept, &world).await;

    // Requests without a break, each on a connection of its own or on one that is kept.
    let (over, mut is_over) = watch::channel(false);
    let (url, single) = (format!("{}/healthz", world.url), trust.builder().pool_max_idle_per_host(0));
    let (single, many) = (single.build().unwrap(), client());
    let traffic = tokio::spawn(async move {
        let mut count = 0;
        while !*is_over.borrow_and_update() {
            for client in [&single, &many] {
                assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::OK);
                count += 1;
            }
        }
        count
    });
    put(files.certificate.parent().unwrap(), &authority.issue(&[], FROM, UNTIL).unwrap());
    reload.send_modify(|count| *count += 1);
    let mut second = shown(&client(), &world).await;
    while second == first {
        tokio::time::sleep(Duration::from_millis(20)).await;
        second = shown(&client(), &world).await;
    }
    over.send_replace(true);
    assert!(traffic.await.unwrap() > 0);
    assert_eq!(shown(&kept, &world).await, first, "the connection from before is still there");

    // Nobody asks for it: the change is seen. A key that is not the certificate's is not taken up, and this is said.
    let (_, strange) = authority.issue(&[], FROM, UNTIL).unwrap();
    std::fs::write(&files.key, strange).unwrap();
    let ready = async || read(world.ask(Method::GET, "/readyz").send().await.unwrap()).await;
    while !ready().await.1.contains("certificate: the new one cannot be used, the old one is") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ready().await.0, StatusCode::OK);
    assert_eq!(shown(&client(), &world).await, second);
    put(files.certificate.parent().unwrap(), &authority.issue(&[], FROM, UNTIL).unwrap());
    while ready().await.1 != "ready\n" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(shown(&client(), &world).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_connections_keeps_only_themselves_out() {
    const EACH: usize = 12;
    let Served { world, .. } = served(|config| config.connections_each = EACH).await;
    let address = world.url.trim_start_matches("https://").to_owned();
    // None of them says a word: the others are served all the same.
    let silent: Vec<TcpStream> = (0..EACH - 2).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(world.ask(Method::GET, "/healthz").send().await.unwrap().status(), StatusCode::OK);
    let more: Vec<TcpStream> = (0..EACH).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let cut = tokio::task::spawn_blocking(move || {
        let closed = |mut stream: &TcpStream| {
            stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
            // The end of the connection, or that it was cut; one that is open has nothing to say.
            match stream.read(&mut [0]) {
                Ok(read) => read == 0,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        more.iter().rev().take(4).filter(|stream| closed(stream)).count()
    });
    assert_eq!(cut.await.unwrap(), 4, "beyond the limit a connection is closed at once");
    drop(silent);
    let metrics = loop {
        match world.ask(Method::GET, "/metrics").send().await {
            Ok(answer) => break answer.text().await.unwrap(),
            Err(_full) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let line = metrics.lines().find(|line| line.starts_with("quell_connections_turned_away_total ")).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<usize>().unwrap() >= 4, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_said_at_the_start() {
    let world = World::new().await;
    let authority = Authority::new().unwrap();
    let (certificate, key) = authority.issue(&[], FROM, UNTIL).unwrap();
    let (_, strange) = authority.issue(&[], FROM, UNTIL).unwrap();
    let expired = authority.issue(&[], FROM, "20210101000000Z").unwrap();
    let early = authority.issue(&[], "20680101000000Z", UNTIL).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let weak = openssl::key("P-256").unwrap().replace("PRIVATE", "ENCRYPTED PRIVATE");
    let cases = [
        ((certificate.clone(), strange), 0o600, "is not for the key in"),
        (expired, 0o600, "expired at 2021-01-01T00:00:00Z: put a new one there"),
        (early, 0o600, "is good from 2068-01-01T00:00:00Z on"),
        (
            (certificate.clone(), key.clone()),
            0o644,
            "can be read or changed by others (mode 0644): `chmod 600 ",
        ),
        ((certificate.clone(), key.clone()), 0o660, "(mode 0660)"),
        ((key.clone(), key.clone()), 0o600, "holds no certificate"),
        ((certificate.clone(), weak), 0o600, "holds no private key that can be read"),
        ((certificate.replace("END", "END "), key.clone()), 0o600, "is no PEM"),
    ];
    for (pair, mode, words) in cases {
        let files = put(folder.path(), &pair);
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = refused(&world, files).await;
        assert!(said.contains(words), "{words}: {said}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!said.contains(secret), "the key is not repeated");
    }
    let files = put(folder.path(), &(certificate, key));
    std::fs::remove_file(&files.key).unwrap();
    let said = refused(&world, files).await;
    assert!(said.contains("quell.key") && said.contains("No such file"), "{said}");
}

async fn refused(world: &World, files: TlsFiles) -> String {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), world.options.clone());
    config.tls = Some(files);
    let (_stop, stopped) = watch::channel(false);
    let ended =
        quell_web::serve(std::sync::Arc::clone(&world.app), config, stopped, |_| panic!("it listens")).await;
    ended.unwrap_err().to_string()
}
