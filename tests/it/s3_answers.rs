//! What S3 might answer and should not, by a server that answers as it was told to.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::provider::Bucket;
use brackup::target::{Error, ErrorKind, ObjectName, S3, Target as _, Way};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::conformance::{chunk_name, meta_name, object};
use super::s3::{access_key, bucket};
use crate::support::{ACCESS_KEY, SECRET_KEY, Scripted, answer};

const NAMES: [&str; 3] = [
    "1111111111111111111111111111111111111111.chunk",
    "2222222222222222222222222222222222222222.chunk",
    "3333333333333333333333333333333333333333.chunk",
];

/// What is said with an object that was held against its checksum.
pub(crate) const STORED: &str = "ETag: \"e\"\r\nx-amz-checksum-sha1: x\r\n";

fn name() -> ObjectName {
    ObjectName::parse(NAMES[0]).unwrap()
}

/// A bucket behind these answers; `waits`: for second tries.
fn scripted(answers: &[String], waits: bool) -> (Scripted, S3, TempDir) {
    scripted_with(answers, waits, |_| {})
}

pub(crate) fn scripted_with(answers: &[String], waits: bool, set: impl Fn(&mut Bucket)) -> (Scripted, S3, TempDir) {
    let spool = TempDir::new().unwrap();
    let server = Scripted::answering(answers);
    let mut place = bucket(&server.endpoint(), "b", "nas/");
    set(&mut place);
    let way = Way::until(Arc::new(AtomicBool::new(!waits)));
    let s3 = S3::open(place, access_key(ACCESS_KEY, SECRET_KEY), spool.path().into(), way).unwrap();
    (server, s3, spool)
}

fn page(keys: &[&str], next: Option<&str>) -> String {
    let objects: String =
        keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>7</Size></Contents>")).collect();
    let token = next.map_or_else(String::new, |next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    let is_truncated = next.is_some();
    let inside = format!("<IsTruncated>{is_truncated}</IsTruncated>{token}{objects}");
    answer("200 OK", "", &format!("<ListBucketResult>{inside}</ListBucketResult>"))
}

fn listed(answers: &[String]) -> (Result<Vec<String>, Error>, Vec<String>) {
    let (server, s3, _spool) = scripted(answers, false);
    let mut names = Vec::new();
    let listed = s3.list(&mut |name, length| {
        assert_eq!(length, 7);
        names.push(name.to_string());
        Ok(())
    });
    (listed.map(|()| names), server.asked())
}

#[test]
fn a_listing_without_an_end_is_given_up() {
    let (names, asked) = listed(&vec![page(&[], Some("same")); 3]);
    assert!(names.unwrap_err().to_string().contains("sends the same page again"));
    assert_eq!(asked.len(), 2);
    let empty: Vec<_> = (0..1100).map(|number| page(&[], Some(&number.to_string()))).collect();
    let (names, asked) = listed(&empty);
    assert!(names.unwrap_err().to_string().contains("empty pages and no end"));
    assert_eq!(asked.len(), 1001);
}

#[test]
fn backups_of_a_root_are_told_without_all_chunks() {
    let answers = [page(&["nas/home-2026112800.meta", "nas/home-old-2026112800.meta"], Some("x")), page(&[], None)];
    let (server, s3, _spool) = scripted(&answers, false);
    let mut names = Vec::new();
    let mut each = |name: ObjectName, _| {
        names.push(name.to_string());
        Ok(())
    };
    s3.list_of("home", &mut each).unwrap();
    assert_eq!(names, ["home-2026112800.meta", "home-old-2026112800.meta"], "whose is whose is for the caller");
    let asked = server.asked();
    assert!(asked.len() == 2 && asked.iter().all(|head| head.contains("prefix=nas%2Fhome- HTTP")), "{}", asked[0]);
    // By a policy, or a server, that knows folders only.
    let denied = answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
    let (server, s3, _spool) = scripted(&[denied, page(&["nas/home-2026112800.meta"], None)], false);
    let mut count = 0;
    let mut each = |_, _| {
        count += 1;
        Ok(())
    };
    s3.list_of("home", &mut each).unwrap();
    assert!(count == 1 && server.asked()[1].contains("prefix=nas%2F HTTP"));
}

#[test]
fn pages_of_folders_of_others_are_gone_through() {
    let folders = |next: &str| {
        let there = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>");
        let folder = "<CommonPrefixes><Prefix>laptop/</Prefix></CommonPrefixes>";
        answer("200 OK", "", &format!("<ListBucketResult>{there}{folder}</ListBucketResult>"))
    };
    let mut pages: Vec<_> = (0..1200).map(|number| folders(&number.to_string())).collect();
    pages.push(page(&["nas/1111111111111111111111111111111111111111.chunk"], None));
    let (names, asked) = listed(&pages);
    assert_eq!(names.unwrap().len(), 1);
    assert!(asked.iter().all(|head| head.contains("delimiter=%2F")), "{}", asked[0]);
}

#[test]
fn pages_are_listed_to_the_end_and_half_a_listing_is_none() {
    let [one, two, three] = NAMES.map(|name| format!("nas/{name}"));
    let (names, asked) = listed(&[page(&[&one, &two], Some("a+b")), page(&[&three], None)]);
    assert_eq!(names.unwrap(), NAMES);
    assert!(asked[1].contains("continuation-token=a%2Bb"), "{}", asked[1]);
    for (answers, why) in [
        (vec![page(&[&one, "other/1"], None)], "which was not asked for"),
        (vec![page(&[&one.replace('/', "%2F")], None)], "which was not asked for"),
        (vec![page(&[&one], Some("x")), page(&[&one], Some("y"))], "the same page again"),
        (vec![answer("200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated>")], "ends in the middle"),
        (vec![answer("200 OK", "", "<html><body>Welcome to the hotel</body></html>")], "it is no listing"),
        (vec![answer("404 Not Found", "", "")], "says 404"),
    ] {
        let error = listed(&answers).0.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

fn read(answers: &[String]) -> (Result<Vec<u8>, std::io::Error>, Vec<String>) {
    let (server, s3, _spool) = scripted(answers, true);
    let mut bytes = Vec::new();
    let mut reader = s3.get(&name(), 0, 100).unwrap();
    let done = reader.read_to_end(&mut bytes);
    (done.map(|_| bytes), server.asked())
}

#[test]
fn a_part_that_is_too_short_is_gone_on_with_and_another_object_is_not() {
    let part = |range: &str, etag: &str, body: &str| {
        answer("206 Partial Content", &format!("Content-Range: bytes {range}\r\nETag: \"{etag}\"\r\n"), body)
    };
    let (bytes, asked) = read(&[part("0-4/10", "e", "01234"), part("5-9/10", "e", "56789")]);
    assert_eq!(bytes.unwrap(), b"0123456789");
    assert!(asked[1].contains("bytes=5-"), "{}", asked[1]);
    for second in [
        part("5-9/10", "other", "56789"),
        part("5-9/20", "e", "56789"),
        part("0-4/10", "e", "01234"),
        answer("416 Range Not Satisfiable", "", ""),
    ] {
        let error = read(&[part("0-4/10", "e", "01234"), second.clone()]).0.unwrap_err();
        let kind = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).map(|error| error.kind);
        assert_eq!(kind, Some(ErrorKind::Corrupt), "{second}: {error}");
    }
}

#[test]
fn only_a_server_of_s3_can_say_that_an_object_is_not_there() {
    let missing = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
    let stat = |answer: String| {
        let (_server, s3, _spool) = scripted(&[answer], false);
        s3.stat(&name())
    };
    assert_eq!(stat(answer("404 Not Found", "", missing)).unwrap(), None);
    for (answer, kind) in [
        (answer("404 Not Found", "", ""), ErrorKind::Unreachable),
        (answer("404 Not Found", "", "<html>no such page</html>"), ErrorKind::Unreachable),
        (answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"), ErrorKind::Unreachable),
        (answer("500 Oops", "", "<Error><Code>InternalError</Code></Error>"), ErrorKind::Io),
        (answer("404 Not Found", "", "<Error><Code>NoSuchBucket</Code></Error>"), ErrorKind::Unreachable),
        (answer("206 Partial Content", "", "x"), ErrorKind::Io),
        (answer("403 Forbidden", "", ""), ErrorKind::Denied),
        (answer("507 Insufficient Storage", "", ""), ErrorKind::Full),
    ] {
        assert_eq!(stat(answer.clone()).unwrap_err().kind, kind, "{answer}");
    }
}

#[test]
fn what_is_no_server_of_s3_has_stored_nothing() {
    let put = |answers: &[String]| {
        let (server, s3, _spool) = scripted(answers, false);
        let finished = object(&s3, 1_000_000);
        let name = chunk_name(&finished);
        (s3.put(&name, finished), server.asked())
    };
    let (done, asked) = put(&[answer("200 OK", STORED, "")]);
    done.unwrap();
    let head = asked[0].to_lowercase();
    for line in ["if-none-match: *", "x-amz-checksum-sha1: ", "expect: 100-continue", "x-amz-content-sha256: "] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let (done, _) = put(&[answer("200 OK", "", "<html>log in first</html>")]);
    assert!(done.unwrap_err().to_string().contains("not a server of S3"));
    // Before the body is on its way, and with another length than ours.
    let (done, _) = put(&[
        answer("412 Precondition Failed", "", "<Error><Code>PreconditionFailed</Code></Error>"),
        answer("206 Partial Content", "Content-Range: bytes 0-0/5\r\n", "x"),
    ]);
    assert_eq!(done.unwrap_err().kind, ErrorKind::Exists);
}

/// Some servers pass over what they do not know: the first object is read back, and those behind it go with a checksum that all know.
#[test]
fn what_is_said_nothing_of_is_looked_at() {
    let spool = TempDir::new().unwrap();
    let length = object(&brackup::target::Filesystem::at(spool.path()), 1_000).length();
    let one = answer("206 Partial Content", &format!("Content-Range: bytes 0-0/{length}\r\n"), "x");
    let other = "x".repeat(usize::try_from(length).unwrap());
    let range = format!("Content-Range: bytes 0-{}/{length}\r\n", length - 1);
    let other = answer("206 Partial Content", &range, &other);
    let deaf = answer("200 OK", "ETag: \"e\"\r\n", "");
    let (server, s3, _spool) =
        scripted(&[deaf.clone(), one.clone(), other, answer("204 No Content", "", ""), deaf], false);
    let finished = object(&s3, 1_000);
    assert_eq!(s3.put(&chunk_name(&finished), finished).unwrap_err().kind, ErrorKind::Corrupt);
    let finished = object(&s3, 1_000);
    s3.put(&chunk_name(&finished), finished).unwrap();
    let asked = server.asked();
    assert!(asked[0].contains("x-amz-checksum-sha1") && asked[4].contains("content-md5"), "{asked:?}");
    assert!(asked[3].starts_with("DELETE /b/nas/"), "what reads back otherwise does not stay: {asked:?}");

    // A condition is passed over, too: of two metafiles of one name the second lies there.
    let gone = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    let beginning = "x".repeat(usize::try_from(length.min(4096)).unwrap());
    let range = format!("Content-Range: bytes 0-{}/{length}\r\n", beginning.len() - 1);
    let other = answer("206 Partial Content", &range, &beginning);
    let (_server, s3, _spool) = scripted(&[gone, answer("200 OK", STORED, ""), one, other], false);
    let finished = object(&s3, 1_000);
    assert_eq!(s3.put(&meta_name(0), finished).unwrap_err().kind, ErrorKind::Exists);

    // A page to log in on is no id.
    let (_server, s3, _spool) = scripted(&[answer("200 OK", "", "<html>log in first</html>")], false);
    let error = s3.identify(None).unwrap_err();
    assert!(error.kind == ErrorKind::Unreachable && error.hint().unwrap().contains("`endpoint`"), "{error}");
}

/// The same of what goes in parts: they are begun anew with a checksum that all know.
#[test]
fn parts_of_which_nothing_is_said_are_begun_anew() {
    let ok = |body: &str| answer("200 OK", "ETag: \"e\"\r\n", body);
    let begun = |id: &str| {
        ok(&format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
    };
    let answers = [
        ok("<ListMultipartUploadsResult/>"),
        begun("one"),
        ok(""),
        answer("204 No Content", "", ""),
        begun("two"),
        ok(""),
        ok(""),
        ok("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"),
    ];
    let (server, s3, _spool) = scripted_with(&answers, false, |bucket| bucket.part_bytes = 600_000);
    let finished = object(&s3, 1_000_000);
    s3.put(&chunk_name(&finished), finished).unwrap();
    let asked = server.asked();
    assert!(asked[2].contains("partNumber=1&uploadId=one") && asked[2].contains("x-amz-checksum-sha1"), "{asked:?}");
    assert!(asked[3].starts_with("DELETE ") && asked[3].contains("uploadId=one"), "{asked:?}");
    assert!(!asked[4].contains("x-amz-checksum"), "{asked:?}");
    for (asked, part) in asked[5..7].iter().zip(["partNumber=1&uploadId=two", "partNumber=2&uploadId=two"]) {
        assert!(asked.contains(part) && asked.contains("content-md5") && !asked.contains("x-amz-checksum"), "{asked}");
    }
    assert!(asked[7].contains("uploadId=two") && asked.len() == 8, "{asked:?}");
}

/// Then each cut costs a part, and not all of a chunk.
#[test]
fn what_was_cut_off_goes_in_parts() {
    let ok = |body: &str| answer("200 OK", STORED, body);
    let begun = ok("<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>");
    let none = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    let answers = [
        String::new(),
        none,
        ok("<ListMultipartUploadsResult/>"),
        begun,
        ok(""),
        ok(""),
        ok("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"),
    ];
    let large = |bucket: &mut Bucket| bucket.part_bytes = 128_000_000;
    let (server, s3, _spool) = scripted_with(&answers, true, large);
    let finished = object(&s3, 6_000_000);
    s3.put(&chunk_name(&finished), finished).unwrap();
    let asked = server.asked();
    let methods: Vec<_> = asked.iter().map(|head| head.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["PUT", "GET", "GET", "POST", "PUT", "PUT", "POST"]);
    assert!(asked[4].contains("partNumber=1") && asked[5].contains("partNumber=2"), "{asked:?}");

    // A server that knows no parts is sent all of it again.
    let unknown = answer("501 Not Implemented", "", "<Error><Code>NotImplemented</Code></Error>");
    let none = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    let mut answers = vec![String::new(), none, ok("<ListMultipartUploadsResult/>")];
    // The checksum, which it may not know either, is left out first.
    answers.extend([unknown.clone(), unknown, ok("")]);
    let (server, s3, _spool) = scripted_with(&answers, true, large);
    let finished = object(&s3, 6_000_000);
    s3.put(&chunk_name(&finished), finished).unwrap();
    let asked = server.asked();
    assert!(asked.len() == 6 && asked[5].starts_with("PUT ") && !asked[5].contains("partNumber"), "{asked:?}");
    assert!(asked[5].contains("x-amz-checksum-sha1"), "that it knows: {}", asked[5]);

    // Nor does what is longer than a part begin so again.
    let unknown = answer("405 Method Not Allowed", "", "");
    let answers = [ok("<ListMultipartUploadsResult/>"), unknown, ok(""), ok("")];
    let (server, s3, _spool) = scripted_with(&answers, false, |bucket| bucket.part_bytes = 600_000);
    for _ in 0..2 {
        let finished = object(&s3, 1_000_000);
        s3.put(&chunk_name(&finished), finished).unwrap();
    }
    let methods: Vec<_> = server.asked().iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "PUT"]);

    // A server that is busy has cut nothing off.
    let busy = answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>");
    let (server, s3, _spool) = scripted_with(&[busy, ok("")], true, large);
    let finished = object(&s3, 6_000_000);
    s3.put(&chunk_name(&finished), finished).unwrap();
    assert!(server.asked()[1].starts_with("PUT ") && !server.asked()[1].contains("partNumber"));
}

/// No server of the tests looks at it.
#[test]
fn the_digest_that_is_signed_is_that_of_the_body_that_is_sent() {
    let ok = |body: &str| answer("200 OK", STORED, body);
    let begun = ok("<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>");
    let completed = ok("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>");
    let none = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    let answers = [ok(""), ok("<ListMultipartUploadsResult/>"), begun, ok(""), ok(""), completed, none];
    let (server, s3, _spool) = scripted_with(&answers, false, |bucket| {
        bucket.part_bytes = 2_000;
        bucket.storage_class = Some("STANDARD_IA".into());
        bucket.encryption = Some("AES256".into());
    });
    for bytes in [1_000, 3_000] {
        let finished = object(&s3, bytes);
        s3.put(&chunk_name(&finished), finished).unwrap();
    }
    assert_eq!(s3.stat(&name()).unwrap(), None);
    let asked = server.whole();
    let lengths: Vec<_> = asked.iter().map(|(_, body)| body.len()).collect();
    assert!(lengths[0] > 1_000 && lengths[3] == 2_000 && lengths[4] > 1_000 && lengths[5] > 200, "{lengths:?}");
    for (head, body) in &asked {
        let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(head.contains(&format!("x-amz-content-sha256: {digest}\r\n")), "{head}");
    }
    // An object has what is kept with it from the request that makes it.
    for (at, (head, _)) in asked.iter().enumerate() {
        let kept = ["x-amz-storage-class: STANDARD_IA\r\n", "x-amz-server-side-encryption: AES256\r\n"];
        assert_eq!(kept.map(|line| head.contains(line)), [matches!(at, 0 | 2); 2], "{head}");
    }
}

/// Parts of what never became an object are paid for, and nothing shows them.
#[test]
fn uploads_that_began_a_week_ago_are_given_up() {
    let upload = |key: &str, id: &str, began: &str| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{began}T00:00:00.000Z</Initiated></Upload>"
        )
    };
    let uploads = [
        upload(&format!("nas/{}", NAMES[0]), "old", "2026-11-01"),
        upload(&format!("nas/{}", NAMES[1]), "young", "2026-11-26"),
        upload("nas/of somebody else", "strange", "2026-11-01"),
    ];
    let listing = format!("<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>", uploads.concat());
    // By the server's clock, whatever that of this machine shows.
    let listing = answer("200 OK", "Date: Fri, 27 Nov 2026 00:00:00 GMT\r\n", &listing);
    let refused = answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
    let answers = [listing, answer("204 No Content", "", ""), refused];
    let (server, s3, _spool) = scripted_with(&answers, false, |bucket| bucket.part_bytes = 600);
    let finished = object(&s3, 1_000);
    assert_eq!(s3.put(&chunk_name(&finished), finished).unwrap_err().kind, ErrorKind::Denied);
    let asked = server.asked();
    let first = |at: usize| asked[at].lines().next().unwrap();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(first(0).starts_with("GET /b/?") && first(0).contains("prefix=nas%2F"), "{asked:?}");
    assert!(first(1).starts_with(&format!("DELETE /b/nas/{}?uploadId=old ", NAMES[0])), "{asked:?}");
    assert!(first(2).starts_with("POST "), "{asked:?}");
}

#[test]
fn no_redirect_is_followed_and_the_region_is_told() {
    let elsewhere = Scripted::answering(&[]);
    let lines = format!("Location: {}/b/x\r\nx-amz-bucket-region: eu-west-3\r\n", elsewhere.endpoint());
    let redirect = answer("301 Moved Permanently", &lines, "<Error><Code>PermanentRedirect</Code></Error>");
    let (server, s3, _spool) = scripted(&[redirect], false);
    let error = s3.identify(None).unwrap_err();
    assert_eq!(error.hint(), Some("the bucket is in another region: region = eu-west-3"));
    assert_eq!((server.asked().len(), elsewhere.asked().len()), (1, 0));
}
