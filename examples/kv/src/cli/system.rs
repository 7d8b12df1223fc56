//! What the operating system is asked for.

use std::io;

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

/// A future that waits for SIGINT or SIGTERM. From this call on they do not end the process, and one
/// that comes before the future is awaited is not lost.
///
/// # Errors
///
/// If signals cannot be received.
#[cfg(unix)]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A future that waits for Ctrl-C, which does not end the process from this call on.
///
/// # Errors
///
/// If it cannot be received.
#[cfg(windows)]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        drop(interrupt.recv().await);
    })
}
