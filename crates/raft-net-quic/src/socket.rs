//! The UDP socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::BindError;

/// Holds some milliseconds of traffic. The usual default of 208 KiB loses bursts on one machine.
const BUFFER_LEN: usize = 4 * 1024 * 1024;

/// Opens a socket with large buffers.
pub(crate) fn open(address: SocketAddr) -> Result<UdpSocket, BindError> {
    try_open(address).map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::AddressInUse { address }
        } else {
            BindError::Address { address, source }
        }
    })
}

fn try_open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Whether they were granted is checked below.
    socket.set_recv_buffer_size(BUFFER_LEN).ok();
    socket.set_send_buffer_size(BUFFER_LEN).ok();
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    if granted < BUFFER_LEN {
        tracing::warn!(
            granted,
            wanted = BUFFER_LEN,
            "UDP buffers are small, bursts will be lost; raise net.core.rmem_max and wmem_max"
        );
    }
    Ok(socket.into())
}
