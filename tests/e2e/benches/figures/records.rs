//! How large records are: their content, the record in format 1, as the last version made it that issued
//! such, and the record now.

use hdms::fhir::{facts, resource};
use hdms::provider::HolderKeys;
use hdms::record::{self, Content};
use hdms::software::SoftwareHolders;
use hdms::testing::SeededRandomness;
use hdms_simulation::{BEGIN, keys};
use hdms_tests::Result;
use hdms_tests::fhir::{OBSERVATION, example};

use crate::table::Table;

/// Examples of the International Patient Summary, and their bytes in format 1.
const EXAMPLES: [(&str, &str, usize); 3] = [
    ("one Observation", OBSERVATION, 4_765),
    ("a Patient of 42 elements", "Patient-patient-example-female", 5_061),
    ("an IPS Bundle", "Bundle-bundle-ips-all-sections", 190_675),
];

/// Of each example.
pub async fn sizes(table: &mut Table) -> Result<()> {
    let randomness = SeededRandomness::new(1);
    let keys = keys("hospital", randomness.clone())?;
    let holder = SoftwareHolders::new(randomness.clone()).make_holder_key().await?;
    let author = keys.public().0.thumbprint();
    for (what, file, former) in EXAMPLES {
        let fhir = resource::parse(example(file)?.as_bytes())?;
        let content = Content {
            author: &author,
            patient: "patient-node",
            case: "case-1",
            holder: Some(&holder),
            issued: BEGIN,
            born: facts::born([&fhir]),
            fhir: &fhir,
        };
        let now = record::issue(&content, &keys, &randomness).await?.compact().len();
        let plain = fhir.to_string().len();
        let times = now as f64 / plain as f64;
        table.beside(
            &format!("record of {what}"),
            format!("{plain} bytes, format 1 {former}, format 2 {now} ({times:.1} times)"),
        );
    }
    Ok(())
}
