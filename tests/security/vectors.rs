//! Signatures that libraries got wrong: Wycheproof's, against what verifies the tokens' signatures.
//!
//! The keys are the vectors' own, so each goes to the very call that `token` makes, not through a server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify};

/// Counts what was taken and what was refused.
#[derive(Default)]
struct Judged {
    taken: usize,
    refused: usize,
}

impl Judged {
    /// Fails unless the signature is judged as the vector `id` says.
    fn judge(
        &mut self,
        (algorithm, key): (Algorithm, &DecodingKey),
        (message, signature): (&[u8], &[u8]),
        (id, expected): (usize, TestResult),
    ) {
        let signature = URL_SAFE_NO_PAD.encode(signature);
        if crypto::verify(&signature, message, key, algorithm).unwrap_or(false) {
            assert_ne!(expected, TestResult::Invalid, "{algorithm:?} takes {id}");
            self.taken += 1;
        } else {
            assert_ne!(expected, TestResult::Valid, "{algorithm:?} refuses {id}");
            self.refused += 1;
        }
    }

    #[track_caller]
    fn assert_both(&self) {
        assert!(self.taken > 5 && self.refused > 20, "{} and {}", self.taken, self.refused);
    }
}

#[test]
fn a025_no_bad_signature_passes_for_es256() {
    let mut judged = Judged::default();
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    for group in &set.test_groups {
        let key = DecodingKey::from_ec_der(&group.key.key);
        for test in &group.tests {
            let vector = (test.tc_id, test.result);
            judged.judge((Algorithm::ES256, &key), (&test.msg, &test.sig), vector);
        }
    }
    judged.assert_both();
    // The same signatures as DER, which RFC 7518 §3.4 does not allow, are none.
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut as_der = Judged::default();
    for group in &set.test_groups {
        let key = DecodingKey::from_ec_der(&group.key.key);
        for test in &group.tests {
            let vector = (test.tc_id, TestResult::Invalid);
            as_der.judge((Algorithm::ES256, &key), (&test.msg, &test.sig), vector);
        }
    }
    assert!(as_der.refused > 100);
}

#[test]
fn a025_no_bad_signature_passes_for_eddsa() {
    let mut judged = Judged::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        let key = DecodingKey::from_ed_der(&group.key.pk);
        for test in &group.tests {
            let vector = (test.tc_id, test.result);
            judged.judge((Algorithm::EdDSA, &key), (&test.msg, &test.sig), vector);
        }
    }
    judged.assert_both();
}

#[test]
fn a025_no_bad_signature_passes_for_rs256() {
    let mut judged = Judged::default();
    let set = rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa2048Sha256).unwrap();
    for group in &set.test_groups {
        let key = DecodingKey::from_rsa_der(&group.asn_key);
        for test in &group.tests {
            let vector = (test.tc_id, test.result);
            judged.judge((Algorithm::RS256, &key), (&test.msg, &test.sig), vector);
        }
    }
    judged.assert_both();
}

/// A tag that is cut to half its length is one elsewhere, and none here (RFC 7518 §3.2).
#[test]
fn a025_no_bad_tag_passes_for_hmac() {
    for (algorithm, name, bits) in [
        (Algorithm::HS256, mac::TestName::HmacSha256, 256),
        (Algorithm::HS384, mac::TestName::HmacSha384, 384),
        (Algorithm::HS512, mac::TestName::HmacSha512, 512),
    ] {
        let mut judged = Judged::default();
        for group in &mac::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let key = DecodingKey::from_secret(&test.key);
                let is_whole = group.tag_size == bits;
                let expected = if is_whole { test.result } else { TestResult::Invalid };
                judged.judge((algorithm, &key), (&test.msg, &test.tag), (test.tc_id, expected));
            }
        }
        judged.assert_both();
    }
}
