//! What the operating system is asked for.

use std::io;

use tokio::signal;

/// Lets the process open as many files, and so connections, as the system allows; shells start
/// programs with 1,024.
pub(super) fn allow_many_connections() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};

        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
}

/// Makes the kernel kill this process when its parent dies, however that happens.
///
/// # Errors
///
/// If the kernel refuses.
pub(super) fn die_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
///
/// If signals cannot be received.
#[cfg(unix)]
pub(super) async fn asked_to_stop() -> io::Result<()> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits for Ctrl-C.
///
/// # Errors
///
/// If it cannot be received.
#[cfg(not(unix))]
pub(super) async fn asked_to_stop() -> io::Result<()> {
    signal::ctrl_c().await
}
