//! A proxy in front of a server that turns a token into the session of whoever is signed in, and can be cut.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::room::Room;

/// The proxy.
pub(super) struct Door {
    pub(super) url: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    pub(super) fn before(room: &Room, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = room.url.trim_start_matches("http://").to_owned();
        let signed = room.headers().join("\r\n");
        let (bearer, open) = (format!("bearer {token}"), Arc::new(Mutex::new(Vec::new())));
        let connections = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (to, signed, bearer) = (to.clone(), signed.clone(), bearer.clone());
                connections.lock().unwrap().push(client.try_clone().unwrap());
                std::thread::spawn(move || pass(&client, &to, &signed, &bearer));
            }
        });
        Self { url, open }
    }

    /// Cuts every connection that is open now.
    pub(super) fn cut(&self) -> usize {
        let all: Vec<TcpStream> = self.open.lock().unwrap().drain(..).collect();
        all.iter().filter(|one| one.shutdown(Shutdown::Both).is_ok()).count()
    }
}

/// One request, then the end of the connection.
fn pass(client: &TcpStream, to: &str, signed: &str, bearer: &str) {
    let Ok(mut server) = TcpStream::connect(to) else { return };
    let mut from = BufReader::new(client.try_clone().unwrap());
    let (mut head, mut knows) = (String::new(), false);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_lowercase();
        if let Some(given) = lower.strip_prefix("authorization:") {
            knows = given.trim() == bearer;
        } else if line == "\r\n" {
            break;
        } else if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let signed = if knows { format!("{signed}\r\n") } else { String::new() };
    if server.write_all(format!("{head}{signed}connection: close\r\n\r\n").as_bytes()).is_err() {
        return;
    }
    let mut upwards = server.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut from, &mut upwards));
    drop(std::io::copy(&mut server, &mut &*client));
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}
