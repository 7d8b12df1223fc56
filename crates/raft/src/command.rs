//! Commands as bytes in the log.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a state machine is told to do, as it stands in the log.
///
/// Every type that serde can write and read is a command already, encoded with postcard. Implement
/// this trait for a type of your own that does not implement serde's traits, or use [`Raw`].
///
/// What was written once must stay readable for as long as it is in a log: add variants at the
/// end, and change none.
pub trait Command: Sized + Send + 'static {
    /// The command as bytes.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the proposal is refused then.
    fn encode(&self) -> Result<Bytes, CommandError>;

    /// Reads what [`Command::encode`] wrote, on every node, for as long as it is in a log.
    ///
    /// # Errors
    ///
    /// If `bytes` are no command. The node stops then: to go on without it would make its state
    /// differ from the others'.
    fn decode(bytes: Bytes) -> Result<Self, CommandError>;
}

/// Why a command could not be written or read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    message: String,
}

impl CommandError {
    /// Says in one sentence what is wrong with the command.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Command for T {
    fn encode(&self) -> Result<Bytes, CommandError> {
        postcard::to_allocvec(self)
            .map(Bytes::from)
            .map_err(|error| CommandError::new(format!("the command cannot be encoded: {error}")))
    }

    fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        match postcard::take_from_bytes(&bytes) {
            Ok((command, [])) => Ok(command),
            Ok(_) => Err(CommandError::new("bytes follow the end of the command")),
            Err(error) => Err(CommandError::new(format!("the command cannot be decoded: {error}"))),
        }
    }
}

/// A command that is bytes already; it is neither copied nor looked at.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Raw(pub Bytes);

impl Command for Raw {
    fn encode(&self) -> Result<Bytes, CommandError> {
        Ok(self.0.clone())
    }

    fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        Ok(Self(bytes))
    }
}
