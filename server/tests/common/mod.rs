//! The real binary as a child process, in a folder of its own, and a client to see it through.

#![allow(dead_code, reason = "each test file uses its part of this")]

pub(crate) mod client;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Every listener on loopback, on a port that the system chooses.
pub(crate) const FREE: [&str; 6] = [
    "--set",
    "c2s.listen=['127.0.0.1:0']",
    "--set",
    "c2s.direct_tls=['127.0.0.1:0']",
    "--set",
    "http.listen=['127.0.0.1:0']",
];
/// PLAIN and SCRAM without TLS.
pub(crate) const NO_TLS: [&str; 1] = ["--set=c2s.require_tls=false"];

/// An empty folder to run in.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.file(name), text).expect("a file in a temporary folder");
        self.file(name)
    }

    /// `stonechat` with these arguments, here, without a terminal to ask on.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        // What should end and does not fails by its status.
        let mut command = Command::new("timeout");
        command.args(["30", "setsid", "--wait", env!("CARGO_BIN_EXE_stonechat")]).args(arguments);
        self.surround(&mut command);
        command
    }

    fn surround(&self, command: &mut Command) {
        command.current_dir(self.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::from(self.command(arguments).output().expect("it starts"))
    }

    /// Runs it to its end with this on standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have ended already without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Ran::from(child.wait_with_output().expect("it ends"))
    }

    /// Makes an account with the usual number of rounds.
    pub(crate) fn add(&self, jid: &str, password: &str) {
        let ran = self.run_with(["user", "add", jid, "--password-stdin"], password);
        assert_eq!(ran.status, 0, "{}", ran.err);
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Daemon {
        self.start_with(arguments, &[])
    }

    /// Starts it in this environment, and waits until it is ready.
    pub(crate) fn start_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Daemon {
        // Not under setsid: signals are for the server itself.
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
        self.surround(&mut command);
        command.args(arguments).envs(environment.iter().copied());
        Daemon::spawn(&mut command)
    }

    /// Starts it with free ports and these arguments.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Daemon {
        self.start(FREE.iter().chain(arguments))
    }
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("no signal ended it"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    /// Asserts that it ended in one line with all of these words, and status 2.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        let Self { status, out, err } = self;
        assert_eq!(*status, 2, "{err}");
        assert_eq!(out, "", "standard output is for programs");
        assert!(err.starts_with("stonechat: ") && err.ends_with('\n'), "{err:?}");
        assert_eq!(err.lines().count(), 1, "{err}");
        for word in words {
            assert!(err.contains(word), "no {word:?} in {err:?}");
        }
    }
}

/// A running server, killed on drop.
pub(crate) struct Daemon {
    child: Child,
    /// What it said on standard output until it was ready.
    pub(crate) out: Vec<String>,
    more_out: Receiver<String>,
    err: Receiver<String>,
    /// What was read of standard error.
    log: String,
}

impl Daemon {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built with this test");
        let more_out = lines(child.stdout.take().expect("a pipe"));
        let err = lines(child.stderr.take().expect("a pipe"));
        let mut daemon = Self { child, out: Vec::new(), more_out, err, log: String::new() };
        while daemon.out.last().is_none_or(|line| line != "ready") {
            match daemon.more_out.recv_timeout(PATIENCE) {
                Ok(line) => daemon.out.push(line),
                Err(error) => panic!("not ready, {error}: {}", daemon.wait().2),
            }
        }
        daemon
    }

    /// Waits until it is ready once more; its listeners may be others.
    pub(crate) fn ready_again(&mut self) {
        self.out.clear();
        while self.out.last().is_none_or(|line| line != "ready") {
            let line = self.more_out.recv_timeout(PATIENCE).expect("it starts again");
            self.out.push(line);
        }
    }

    /// The address of the first listener of this kind.
    #[track_caller]
    pub(crate) fn address(&self, kind: &str) -> SocketAddr {
        let prefix = format!("listening {kind} ");
        let line = self.out.iter().find_map(|line| line.strip_prefix(&prefix));
        line.expect("a listener of this kind").parse().expect("ADDRESS:PORT")
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits for a line of the log with these words, and gives it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.err.recv_timeout(left) else {
                panic!("no {words:?} in the log:\n{}", self.log);
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What the log says up to now.
    pub(crate) fn log_now(&mut self) -> &str {
        for line in self.err.try_iter() {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        &self.log
    }

    /// Ends it by SIGTERM: the status, what came on standard output after `ready`, and the whole log.
    pub(crate) fn stop(self) -> (ExitStatus, String, String) {
        self.stop_by("TERM")
    }

    /// Ends it by this signal.
    pub(crate) fn stop_by(mut self, signal: &str) -> (ExitStatus, String, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String, String) {
        let end = Instant::now() + PATIENCE;
        // Both pipes end with the process.
        let mut out = String::new();
        while let Ok(line) = self.more_out.recv_timeout(end - Instant::now()) {
            out.push_str(&line);
        }
        while let Ok(line) = self.err.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        assert!(Instant::now() < end, "it does not end: {}", self.log);
        (self.child.wait().expect("it has ended"), out, self.log.clone())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread of its own.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive): (Sender<String>, _) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}
