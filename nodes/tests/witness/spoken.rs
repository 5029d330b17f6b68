//! What the nodes of all tests say aloud.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to listen, in whichever test comes first.
pub fn listen() {
    said();
}

/// The errors that were logged with this text in them.
pub fn errors_with(text: &str) -> Vec<String> {
    let said = said().0.lock().unwrap().clone();
    let lines = String::from_utf8(said).unwrap();
    let errors = lines.lines().filter(|line| line.contains("ERROR") && line.contains(text));
    errors.map(str::to_owned).collect()
}

fn said() -> &'static Said {
    static SAID: OnceLock<Said> = OnceLock::new();
    SAID.get_or_init(|| {
        let said = Said::default();
        let into = said.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::ERROR)
            .with_writer(move || into.clone())
            .init();
        said
    })
}
