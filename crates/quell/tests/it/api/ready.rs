//! `/readyz` of the real binary: while its database is away, and while it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use quell_testkit::postgres::Server;

use super::room::Room;
use crate::replicas::shared;
use crate::world::{PATIENCE, Servers, text, wait_for};

#[test]
fn a_server_is_not_ready_while_its_database_is_away_and_while_it_ends() {
    let servers = Servers::start();
    let mut state = Server::start(&[]).unwrap();
    let world = shared(&servers, &state, "ready");
    let mut room = Room::start(&world);
    assert_eq!(text(&room.raw("GET", "/readyz", &[], b"").body), "ready\n");

    state.stop().unwrap();
    let away = room.raw("GET", "/readyz", &[], b"").problem(503);
    assert_eq!(away["detail"], "the database cannot be read", "{away}");
    assert_eq!(text(&room.raw("GET", "/healthz", &[], b"").body), "ok\n", "the process is well");
    state.restart().unwrap();
    wait_for(|| room.raw("GET", "/readyz", &[], b"").status == 200, "it does not get ready again");

    // Somebody who has begun to ask when it is told to end.
    let address = room.url.trim_start_matches("http://").to_owned();
    let mut asking = TcpStream::connect(&address).unwrap();
    asking.set_read_timeout(Some(PATIENCE)).unwrap();
    asking.write_all(b"GET /readyz HTTP/1.1\r\nhost: quell\r\n").unwrap();
    // Answered after it, so the server knows of both.
    assert_eq!(room.raw("GET", "/healthz", &[], b"").status, 200);
    room.terminate();
    wait_for(|| TcpStream::connect(&address).is_err(), "it goes on listening");
    asking.write_all(b"\r\n").unwrap();
    let mut said = String::new();
    asking.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("the server is ending"), "{said}");
    assert!(room.ended().success(), "it ended as it was told");

    let next = Room::start_as(&world, "ines");
    assert_eq!(text(&next.raw("GET", "/readyz", &[], b"").body), "ready\n");
}
