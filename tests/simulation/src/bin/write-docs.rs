//! Makes the examples of the protocol reference anew: `write-docs PAGE EXAMPLES` fills the markers
//! of PAGE in its place and writes the examples' full texts to EXAMPLES. `make docs` runs it.

use std::error::Error;
use std::{env, fs};

use hdms_simulation::docs::Reference;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [page, examples] = &arguments[..] else { return Err("write-docs PAGE EXAMPLES".into()) };
    let reference = futures_lite::future::block_on(Reference::new())?;
    fs::write(page, reference.fill(&fs::read_to_string(page)?)?)?;
    fs::write(examples, reference.full()?)?;
    Ok(())
}
