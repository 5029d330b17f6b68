//! What an institution or a notary tells the network's operator about itself.

use clap::Args;
use hdms::doorman::About;

/// By which the operator knows whom to admit; shown to nobody else.
#[derive(Debug, Args)]
pub struct AboutArgs {
    /// The institution's number in a public register, with the register's name.
    #[arg(long, value_name = "NUMBER")]
    registry_number: String,
    /// Its postal address.
    #[arg(long, value_name = "ADDRESS")]
    address: String,
    /// Whom to call there, and how.
    #[arg(long, value_name = "PERSON")]
    contact: String,
}

impl From<AboutArgs> for About {
    fn from(args: AboutArgs) -> Self {
        let AboutArgs { registry_number, address, contact } = args;
        Self { registry_number, address, contact }
    }
}
