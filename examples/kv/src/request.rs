//! From the words of a client to what they ask for.

use bytes::Bytes;

use crate::command::{Command, Condition, Set};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::server::{Admin, Local};
use crate::store::{Query, integer};

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// A change: goes through the log.
    Write(Command),
    /// A question: answered at a read point.
    Read(Query),
    /// Something this node knows by itself.
    Local(Local),
    /// Something for the cluster rather than for the store.
    Admin(Admin),
}

/// Why a request cannot be served, in the words that Redis uses. Nothing has happened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not a command of this server.
    #[error("ERR unknown command '{name}'")]
    UnknownCommand {
        /// What was asked for, shortened.
        name: String,
    },
    /// Not a subcommand of this server.
    #[error("ERR unknown subcommand '{name}'")]
    UnknownSubcommand {
        /// What was asked for, shortened.
        name: String,
    },
    /// Too few or too many words.
    #[error("ERR wrong number of arguments for '{name}' command")]
    Arity {
        /// The command.
        name: String,
    },
    /// Words that do not go together.
    #[error("ERR syntax error")]
    Syntax,
    /// An option of Redis that this server does not have.
    #[error("ERR option {name} is not supported: values do not expire")]
    Expiry {
        /// The option.
        name: String,
    },
    /// A number was expected.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// More than [`KEY_BYTES_MAX`].
    #[error("ERR key is longer than {KEY_BYTES_MAX} bytes")]
    KeyTooLong,
    /// More than [`VALUE_BYTES_MAX`].
    #[error("ERR value is longer than {VALUE_BYTES_MAX} bytes")]
    ValueTooLong,
    /// A number above zero was expected.
    #[error("ERR a node id is a whole number above zero")]
    NotANode,
    /// Where nobody could be found.
    #[error("ERR expected HOST:PORT, where the node listens for the others")]
    NotAnAddress,
    /// There is one database.
    #[error("ERR DB index is out of range")]
    Database,
    /// `HELLO 3`.
    #[error("NOPROTO unsupported protocol version, this server speaks RESP2")]
    Protocol,
}

impl Request {
    /// Reads a request from its words, the name first.
    ///
    /// # Errors
    ///
    /// If this server cannot serve it.
    pub fn from_words(words: &[Bytes]) -> Result<Self, RequestError> {
        let Some((name, arguments)) = words.split_first() else { return Err(RequestError::Syntax) };
        let mut upper = [0; NAME_BYTES_MAX];
        match (uppercase(name, &mut upper), arguments) {
            (b"SET", [key, value, options @ ..]) => set(key, value, options),
            (b"GET", [key]) => Ok(Self::Read(Query::Get(checked_key(key)?))),
            (b"DEL", keys @ [_, ..]) => {
                Ok(Self::Write(Command::Delete { keys: checked_keys(keys)? }))
            }
            (b"INCR", [key]) => increment(key, 1),
            (b"INCRBY", [key, by]) => {
                increment(key, integer(by).ok_or(RequestError::NotAnInteger)?)
            }
            (b"MGET", keys @ [_, ..]) => Ok(Self::Read(Query::GetMany(checked_keys(keys)?))),
            (b"EXISTS", keys @ [_, ..]) => Ok(Self::Read(Query::Exists(checked_keys(keys)?))),
            (b"DBSIZE", []) => Ok(Self::Read(Query::Size)),
            (
                b"SET" | b"GET" | b"DEL" | b"INCR" | b"INCRBY" | b"MGET" | b"EXISTS" | b"DBSIZE",
                _,
            ) => Err(arity(name)),
            (name_in_capitals, arguments) => match Admin::from_words(name_in_capitals, arguments) {
                Some(admin) => admin.map(Self::Admin),
                None => Local::from_words(name, arguments).map(Self::Local),
            },
        }
    }
}

fn set(key: &Bytes, value: &Bytes, options: &[Bytes]) -> Result<Request, RequestError> {
    let mut set = Set {
        key: checked_key(key)?,
        value: checked_value(value)?,
        condition: Condition::Always,
        return_previous: false,
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut upper = [0; NAME_BYTES_MAX];
        let condition = match uppercase(option, &mut upper) {
            b"GET" => {
                set.return_previous = true;
                continue;
            }
            b"NX" => Condition::Absent,
            b"XX" => Condition::Present,
            b"IFEQ" => {
                let expected = options.next().ok_or(RequestError::Syntax)?;
                Condition::Equals(checked_value(expected)?)
            }
            b"EX" | b"PX" | b"EXAT" | b"PXAT" | b"KEEPTTL" => {
                return Err(RequestError::Expiry { name: shortened(option) });
            }
            _ => return Err(RequestError::Syntax),
        };
        if set.condition != Condition::Always {
            return Err(RequestError::Syntax);
        }
        set.condition = condition;
    }
    Ok(Request::Write(Command::Set(set)))
}

fn increment(key: &Bytes, by: i64) -> Result<Request, RequestError> {
    Ok(Request::Write(Command::Increment { key: checked_key(key)?, by }))
}

fn checked_keys(keys: &[Bytes]) -> Result<Vec<Bytes>, RequestError> {
    keys.iter().map(checked_key).collect()
}

fn checked_key(key: &Bytes) -> Result<Bytes, RequestError> {
    if key.len() <= KEY_BYTES_MAX { Ok(key.clone()) } else { Err(RequestError::KeyTooLong) }
}

fn checked_value(value: &Bytes) -> Result<Bytes, RequestError> {
    if value.len() <= VALUE_BYTES_MAX { Ok(value.clone()) } else { Err(RequestError::ValueTooLong) }
}

/// Length of the longest name, `RAFT.SNAPSHOT`, and some.
pub(crate) const NAME_BYTES_MAX: usize = 16;

/// The name in capitals, without an allocation; nothing for one that is too long to be known.
pub(crate) fn uppercase<'a>(name: &[u8], upper: &'a mut [u8; NAME_BYTES_MAX]) -> &'a [u8] {
    let Some(upper) = upper.get_mut(..name.len()) else { return &[] };
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    upper
}

pub(crate) fn arity(name: &[u8]) -> RequestError {
    RequestError::Arity { name: shortened(name).to_ascii_lowercase() }
}

/// What a client sent, fit to be shown in an error.
pub(crate) fn shortened(text: &[u8]) -> String {
    let end = text.len().min(64);
    text.get(..end).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
