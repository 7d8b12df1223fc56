//! What the network would allow: one byte there and back, over TCP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::table::median;

const TIME: Duration = Duration::from_secs(1);

/// Measures the median of round trips between two threads.
pub(super) fn round_trip() -> std::io::Result<Duration> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nodelay(true)?;
    let (peer, _) = listener.accept()?;
    peer.set_nodelay(true)?;
    let echo = std::thread::spawn(move || echo(peer));

    let mut latencies = Vec::new();
    let mut byte = [0];
    let start = Instant::now();
    while start.elapsed() < TIME {
        let before = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        latencies.push(before.elapsed());
    }
    drop(stream);
    // It ends with the connection.
    drop(echo.join());
    Ok(median(latencies))
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
    }
}
