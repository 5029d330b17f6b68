//! Writes the treatment's transcript to standard output, after a change of the protocol that is
//! meant: `cargo run -p hdms-simulation --bin write-transcript > tests/simulation/vectors/treatment.json`.

fn main() -> Result<(), hdms::Error> {
    print!("{}", futures_lite::future::block_on(hdms_simulation::transcript::treatment())?);
    Ok(())
}
