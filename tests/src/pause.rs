//! A server that is stopped for a while and goes on as if nothing had been.

use rustix::process::{Pid, Signal, kill_process};

use crate::server::Server;

impl Server {
    /// Stops all its threads with SIGSTOP, until [`Server::resume`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Server::pause`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        // A child that was not waited for keeps its id.
        assert!(self.is_running(), "there is no process to signal");
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Err(error) = kill_process(pid.expect("a process id"), signal) {
            panic!("{signal:?}: {error}");
        }
    }
}
