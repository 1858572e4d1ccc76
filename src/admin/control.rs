//! The control socket: one JSON object a line asks, one answers. `{"command":"hangup","args":{"id":"c17"}}` gives
//! `{"result":…}` or `{"error":"…","status":404}`.
//!
//! Whoever may open the socket may do everything, so its file is for the gateway's own account and group.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::table::{self, Args};
use super::{Admin, Failure};

/// Longest request, bytes.
const REQUEST: u64 = 64 * 1024;
/// Longest answer a client takes, bytes: 10,000 calls.
const ANSWER: u64 = 64 << 20;
/// Clients at a time.
const CLIENTS: usize = 16;
/// A client that is silent for so long is let go.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client waits for an answer: longer than any owner may take.
const WAIT: Duration = Duration::from_secs(30);

/// Where the socket may be, in the order of preference.
fn candidates(configured: Option<&str>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        return vec![path.into()];
    }
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    // systemd names the folder it made for the service.
    let folders = [
        var("RUNTIME_DIRECTORY"),
        Some(PathBuf::from("/run/flashgate")),
        var("XDG_RUNTIME_DIR").map(|d| d.join("flashgate")),
    ];
    let mut paths: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .map(|d| d.join("control.sock"))
        .collect();
    paths.dedup();
    paths
}

/// The listening socket; its file is removed with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Opens the first of the places where that is possible.
    ///
    /// # Errors
    /// Why the last of them could not be used.
    pub(crate) fn bind(configured: Option<&str>) -> Result<ControlSocket, String> {
        let mut last = "there is no place for it".to_owned();
        for path in candidates(configured) {
            match ControlSocket::bind_at(&path) {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    last = format!("{}: {error}", path.display());
                    // Where another gateway answers, a second place would hide which of the two is spoken to.
                    if error.kind() == io::ErrorKind::AddrInUse {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    fn bind_at(path: &Path) -> io::Result<ControlSocket> {
        if let Some(folder) = path.parent()
            && !folder.exists()
        {
            fs::create_dir(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750))?;
        }
        if fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
            if Client::connect(path).is_ok() {
                let text =
                    "another gateway answers there; give this one a place of its own by [console] control";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        let inode = fs::symlink_metadata(path)?.ino();
        let path = path.to_owned();
        Ok(ControlSocket {
            listener,
            path,
            inode,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves clients until it is dropped.
    pub(crate) async fn serve(self, admin: Admin) {
        let room = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let admin = admin.clone();
                    tokio::spawn(async move {
                        let _gone = client(stream, &admin).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket takes no client now");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A gateway started meanwhile may have its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

async fn client(stream: UnixStream, admin: &Admin) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = tokio::io::BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(REQUEST);
        let read = tokio::time::timeout(IDLE, limited.read_until(b'\n', &mut line));
        if read.await?? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = if whole {
            carry_out(&line, admin).await
        } else {
            Err(Failure::new(
                400,
                "the request is longer than 64 KiB, or has no end of line",
            ))
        };
        let mut answer = match answer {
            Ok(result) => json!({ "result": result }),
            Err(failure) => json!({ "error": failure.message, "status": failure.status }),
        }
        .to_string();
        answer.push('\n');
        tokio::time::timeout(IDLE, writer.write_all(answer.as_bytes())).await??;
        if !whole {
            return Ok(());
        }
    }
}

async fn carry_out(line: &[u8], admin: &Admin) -> Result<Value, Failure> {
    let (name, args) = parse(line)?;
    let row = table::find(&name).ok_or_else(|| {
        let known: Vec<&str> = table::all().map(|row| row.name).collect();
        Failure::new(
            404,
            format!("there is no command `{name}`; known: {}", known.join(", ")),
        )
    })?;
    row.run(admin, &args).await
}

/// A request: its command and arguments.
fn parse(line: &[u8]) -> Result<(String, Args), Failure> {
    let wrong = || Failure::new(400, r#"a request is {"command":"NAME","args":{…}} on one line"#);
    let Ok(Value::Object(mut request)) = serde_json::from_slice(line) else {
        return Err(wrong());
    };
    let Some(Value::String(command)) = request.remove("command") else {
        return Err(wrong());
    };
    match request.remove("args") {
        None => Ok((command, Args::new())),
        Some(Value::Object(args)) => Ok((command, args)),
        Some(_) => Err(wrong()),
    }
}

/// Asks a running gateway something: what the command line does.
///
/// # Errors
/// A sentence that says what is wrong and what to do.
pub(crate) fn request(socket: Option<&str>, command: &str, args: &Args) -> Result<Value, String> {
    let paths = candidates(socket);
    let mut tried = Vec::new();
    for path in &paths {
        match Client::connect(path) {
            Ok(stream) => return ask(stream, command, args).map_err(|e| format!("{}: {e}", path.display())),
            Err(error) => tried.push(format!("{}: {error}", path.display())),
        }
    }
    Err(format!(
        "no gateway answers ({}); start one by `flashgate run`, or name its socket by --socket",
        tried.join("; ")
    ))
}

fn ask(mut stream: Client, command: &str, args: &Args) -> Result<Value, String> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the gateway does not answer".to_owned(),
        _ => e.to_string(),
    };
    stream.set_read_timeout(Some(WAIT)).map_err(failed)?;
    let line = format!("{}\n", json!({ "command": command, "args": args }));
    stream.write_all(line.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER))
        .read_line(&mut answer)
        .map_err(failed)?;
    match serde_json::from_str(&answer) {
        Ok(Value::Object(mut answer)) => match (answer.remove("result"), answer.remove("error")) {
            (Some(result), _) => Ok(result),
            (None, Some(Value::String(error))) => Err(error),
            _ => Err("the gateway gave an answer that cannot be read".to_owned()),
        },
        _ => Err("the gateway gave an answer that cannot be read: is it of another version?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_or_refused() {
        let ok = parse(br#"{"command":"hangup","args":{"id":"c1"}}"#).unwrap();
        assert_eq!((ok.0.as_str(), ok.1["id"].as_str()), ("hangup", Some("c1")));
        assert!(parse(br#"{"command":"status"}"#).unwrap().1.is_empty());
        for bad in [
            &b""[..],
            b"[]",
            b"{}",
            br#"{"command":1}"#,
            br#"{"command":"x","args":[]}"#,
            b"\xFF",
        ] {
            assert_eq!(parse(bad).unwrap_err().status, 400);
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = std::env::temp_dir().join(format!("flashgate-control-{}", std::process::id()));
        let path = folder.join("control.sock");
        let name = path.to_str().unwrap();
        let first = ControlSocket::bind(Some(name)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        let error = ControlSocket::bind(Some(name)).unwrap_err();
        assert!(error.contains("another gateway"), "{error}");
        drop(first);
        assert!(!path.exists());
        // As after kill -9: the file stays, nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let again = ControlSocket::bind(Some(name)).unwrap();
        drop(again);
        fs::remove_dir_all(&folder).unwrap();
    }
}
