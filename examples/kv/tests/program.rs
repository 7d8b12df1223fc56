//! The program as its user meets it: flags, sentences on stderr, and what survives `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use raft_kv::client::Client;
use raft_kv::resp::Reply;
use tempfile::{TempDir, tempdir};

/// A node in the background; killed when dropped.
struct Node {
    process: Child,
    address: SocketAddr,
    /// Kept open: what a node says must go somewhere.
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
    }
}

fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
    command.args(arguments.split_whitespace()).env_remove("RUST_LOG");
    command
}

fn serve(id: u64, data: &Path) -> Command {
    let mut command = program(&format!("serve --id {id} --client 127.0.0.1:0 --data"));
    command.arg(data);
    command
}

/// Starts a cluster of one, and waits until it is ready.
fn start(data: &Path) -> Node {
    let mut process = serve(1, data).stdout(Stdio::piped()).spawn().expect("the program");
    let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
    Node { process, address: address.expect("its address"), _stdout: stdout }
}

/// What the program complains about.
fn complaint(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().expect("the program");
    assert!(!status.success());
    String::from_utf8(stderr).expect("text")
}

fn directory() -> TempDir {
    tempdir().expect("a directory")
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let data = directory();
    let node = start(data.path());
    let mut client = Client::connect(node.address).await.expect("a node");
    let written = client.call(&[b"SET", b"k", b"v"]).await;
    assert_eq!(written.expect("a reply"), Reply::OK);

    drop(node);
    let node = start(data.path());

    let mut client = Client::connect(node.address).await.expect("a node");
    let read = client.call(&[b"GET", b"k"]).await.expect("a reply");
    assert_eq!(read, Reply::Bulk("v".into()));
}

#[test]
fn demo_loses_nothing() {
    let demo = program("demo --ops 2000").output().expect("the program");

    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    assert!(told.contains("all 2000 writes are acknowledged"), "{told}");
}

#[test]
fn drill_loses_nothing() {
    let drill = program("drill --rounds 3 --seed 3").output().expect("the program");

    let told = String::from_utf8_lossy(&drill.stdout);
    assert!(drill.status.success(), "{told}\n{}", String::from_utf8_lossy(&drill.stderr));
    assert!(told.contains("3/3: ") && told.contains(", 0 lost;"), "{told}");
}

#[test]
fn clusters_need_certificates_or_a_word() {
    let complaint = complaint(serve(1, directory().path()).args([
        "--raft",
        "127.0.0.1:0",
        "--cluster",
        "1=127.0.0.1:7001,2=127.0.0.1:7002",
    ]));

    assert!(complaint.contains("--cluster needs --tls DIR"), "{complaint}");
    assert!(complaint.contains("or --insecure"), "{complaint}");
}

#[test]
fn clusters_include_the_node() {
    let insecure = "--insecure --raft 127.0.0.1:0 --cluster 1=127.0.0.1:7001,2=127.0.0.1:7002";
    let insecure = || insecure.split(' ');

    let missing = complaint(serve(3, directory().path()).args(insecure()));
    let joining = complaint(serve(2, directory().path()).args(insecure()).arg("--join"));

    assert_eq!(
        missing,
        "error: node 3 is not in --cluster; list every node there, this one included, \
         or have it --join\n"
    );
    assert_eq!(
        joining,
        "error: node 2 is in --cluster, so it does not --join; \
         give a new node an id that nobody has had\n"
    );
}

#[test]
fn certificates_are_those_of_the_node() {
    let (data, certificates) = (directory(), directory());
    let path = |name: &str| certificates.path().join(name);
    let issued = program("certs --nodes 1,2 --out").arg(certificates.path()).output();
    assert!(issued.expect("the program").status.success());
    for end in ["pem", "key"] {
        let (from, to) = (path(&format!("node-2.{end}")), path(&format!("node-1.{end}")));
        std::fs::rename(from, to).expect("a file");
    }

    let complaint = complaint(
        serve(1, data.path())
            .args(["--raft", "127.0.0.1:0", "--cluster", "1=127.0.0.1:7001,2=127.0.0.1:7002"])
            .arg("--tls")
            .arg(certificates.path()),
    );

    assert_eq!(
        complaint,
        "error: cannot use --tls: the certificate is for node 2, this is node 1; use its own\n"
    );
}

#[test]
fn ports_in_use_are_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a port");
    let data = directory();

    let complaint = complaint(
        program(&format!("serve --id 1 --client {address} --data")).arg(data.path().join("data")),
    );

    assert!(complaint.contains(&format!("port {address} is in use")), "{complaint}");
}

#[test]
fn directories_in_use_are_refused() {
    let data = directory();
    let _node = start(data.path());

    let complaint = complaint(&mut serve(1, data.path()));

    assert!(complaint.contains("is in use by another process"), "{complaint}");
}

#[test]
fn directories_of_others_are_refused() {
    let data = directory();
    drop(start(data.path()));

    let of_node = complaint(&mut serve(2, data.path()));
    let of_cluster = complaint(serve(1, data.path()).args([
        "--insecure",
        "--raft",
        "127.0.0.1:0",
        "--cluster",
        "1=127.0.0.1:7001,2=127.0.0.1:7002",
    ]));

    assert!(of_node.contains("node 1"), "{of_node}");
    assert!(of_cluster.contains("cluster"), "{of_cluster}");
}

#[test]
fn directories_that_cannot_be_are_refused() {
    let directory = directory();
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");

    let complaint = complaint(&mut serve(1, &file));

    assert!(complaint.contains("choose another --data"), "{complaint}");
}

#[test]
fn unknown_flags_are_named() {
    let complaint = complaint(serve(1, directory().path()).arg("--quorum"));

    assert!(complaint.contains("unexpected argument '--quorum'"), "{complaint}");
}
