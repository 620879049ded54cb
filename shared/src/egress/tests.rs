use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::outbound::{TlsRoots, tls};

/// Names with the addresses that they resolve to, one list a lookup, the last one for good.
#[derive(Default)]
struct Names {
    answers: HashMap<&'static str, Vec<Vec<&'static str>>>,
    lookups: AtomicUsize,
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let lookup = self.lookups.fetch_add(1, Ordering::SeqCst);
        let lists = self.answers.get(host).ok_or(io::ErrorKind::NotFound)?;
        let list = lists.get(lookup).or(lists.last()).map_or(&[][..], Vec::as_slice);
        Ok(list.iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn egress(reach: Reach, answers: &[(&'static str, &[&[&'static str]])]) -> Egress {
    let answers =
        answers.iter().map(|(name, lists)| (*name, lists.iter().map(|list| list.to_vec()).collect())).collect();
    let settings = EgressSettings {
        connect_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_secs(2),
        max_body_bytes: 1000,
        reach,
    };
    Egress::with_resolver(
        tls(TlsRoots::Bundled).unwrap(),
        settings,
        Arc::new(Names { answers, lookups: AtomicUsize::new(0) }),
    )
    .unwrap()
}

async fn server() -> (MockServer, Reach) {
    let server = MockServer::start().await;
    let port = server.address().port();
    (server, Reach::PublicAndLoopback { port })
}

async fn answers(server: &MockServer, at: &str, response: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(response).mount(server).await;
}

fn redirect_to(location: &str) -> ResponseTemplate {
    ResponseTemplate::new(302).insert_header("location", location)
}

#[tokio::test]
async fn hosts_that_are_not_public_are_refused_in_every_spelling() {
    let egress = egress(Reach::Public, &[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "0x7f.0x0.0x0.0x1",
        "00000177.1",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "0",
        "0.0.0.0",
        "0x0",
        "10.0.0.1",
        "012.1",
        "167772161",
        "172.16.0.1",
        "192.168.1.1",
        "192.168.257",
        "3232235777",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.254.170.2",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "4294967295",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "app.localhost.",
        "localhost.localdomain",
        "metadata.google.internal",
        "metadata.google.internal.",
        "ip-10-0-0-1.eu-west-1.compute.internal",
        "internal",
        "printer.local",
        "router.home.arpa",
        "intranet",
        "metadata",
    ] {
        for url in [format!("http://{host}/"), format!("https://{host}:8443/a?b")] {
            let error = egress.get(&url).await.unwrap_err();
            assert!(matches!(error, EgressError::NotPublic(_)), "{url}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_name_is_refused_for_one_address_that_is_not_public() {
    let cases: [(&'static str, &[&[&'static str]]); 7] = [
        ("loopback.test.example", &[&["127.0.0.1"]]),
        ("private.test.example", &[&["10.1.2.3"]]),
        ("metadata.test.example", &[&["169.254.169.254"]]),
        ("mapped.test.example", &[&["::ffff:10.0.0.1"]]),
        ("nat64.test.example", &[&["64:ff9b::a9fe:a9fe"]]),
        ("mixed.test.example", &[&["93.184.216.34", "10.0.0.1"]]),
        ("mixed6.test.example", &[&["2606:4700::1111", "::1"]]),
    ];
    let egress = egress(Reach::Public, &cases);
    for (name, _) in cases {
        let url = format!("http://{name}/");
        for error in [egress.check(&url).await.unwrap_err(), egress.get(&url).await.unwrap_err()] {
            assert!(matches!(&error, EgressError::NotPublic(host) if host == name), "{url}: {error:?}");
        }
    }
}

#[tokio::test]
async fn public_addresses_and_names_pass_the_check() {
    let egress = egress(Reach::Public, &[("www.example.com", &[&["93.184.216.34", "2606:4700::1111"]])]);
    for url in [
        "http://93.184.216.34/",
        "https://93.184.216.34:443/",
        "http://1572395042/",
        "http://8.8.8.8:8080/",
        "https://[2606:4700::1111]:8443/",
        "http://[::ffff:8.8.8.8]/",
        "http://[64:ff9b::8.8.8.8]/",
        "HTTPS://WWW.EXAMPLE.COM/path?query#fragment",
    ] {
        let target = egress.check(url).await.unwrap();
        assert!(!target.addresses.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn other_schemes_credentials_ports_and_what_is_no_url_are_refused() {
    let egress = egress(Reach::Public, &[]);
    for url in
        ["ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "data:text/plain,x", "ws://example.com/"]
    {
        assert!(matches!(egress.check(url).await, Err(EgressError::Scheme)), "{url}");
    }
    for url in ["http://user@example.com/", "http://user:password@example.com/", "http://:password@example.com/"] {
        assert!(matches!(egress.check(url).await, Err(EgressError::Credentials)), "{url}");
    }
    for port in [0, 1, 22, 25, 81, 3306, 6379, 9001, 65535] {
        let error = egress.check(&format!("http://example.com:{port}/")).await.unwrap_err();
        assert!(matches!(error, EgressError::Port(refused) if refused == port), "{error:?}");
    }
    let long = format!("http://example.com/{}", "a".repeat(9000));
    for url in [
        "",
        "example.com",
        "//example.com",
        "http://",
        "http://[::1",
        "http://256.256.256.256/",
        "http://127.0.0.1.5/",
        "http://[fe80::1%25eth0]/",
        &long,
    ] {
        assert!(matches!(egress.check(url).await, Err(EgressError::Invalid(_))), "{url}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_said_to_have_none() {
    let egress = egress(Reach::Public, &[("empty.example.com", &[&[]])]);
    for url in ["http://unknown.example.com/", "http://empty.example.com/"] {
        assert!(matches!(egress.check(url).await, Err(EgressError::Unresolved(_))), "{url}");
        assert!(matches!(egress.get(url).await, Err(EgressError::Unresolved(_))), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_rebinds_after_the_check_is_not_connected_to() {
    let egress = egress(Reach::Public, &[("rebind.example.com", &[&["93.184.216.34"], &["127.0.0.1"]])]);
    let url = "http://rebind.example.com:8080/";
    assert_eq!(egress.check(url).await.unwrap().addresses, ["93.184.216.34".parse::<IpAddr>().unwrap()]);
    assert!(matches!(egress.get(url).await, Err(EgressError::NotPublic(_))));
}

#[tokio::test]
async fn a_name_is_looked_up_once_a_request_and_that_answer_is_connected_to() {
    let (server, reach) = server().await;
    answers(&server, "/", ResponseTemplate::new(200).set_body_string("here")).await;
    let egress = egress(reach, &[("here.example.com", &[&["127.0.0.1"], &["10.0.0.1"]])]);
    let url = format!("http://here.example.com:{}/", server.address().port());
    assert_eq!(egress.get(&url).await.unwrap().body, "here");
    assert!(matches!(egress.get(&url).await, Err(EgressError::NotPublic(_))), "the connection is not used again");
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_address() {
    let (server, reach) = server().await;
    let egress = egress(reach, &[("inside.example.com", &[&["10.0.0.1"]])]);
    for (index, (location, expected)) in [
        ("http://169.254.169.254/latest/meta-data/", "not on the public internet"),
        ("http://0xa9fea9fe/", "not on the public internet"),
        ("http://[::ffff:10.0.0.1]/", "not on the public internet"),
        ("//10.0.0.1/", "not on the public internet"),
        ("http://inside.example.com/", "not on the public internet"),
        ("http://metadata.google.internal/", "not on the public internet"),
        ("file:///etc/passwd", "only http and https"),
        ("http://93.184.216.34:22/", "port 22"),
        ("http://user:password@93.184.216.34/", "user name or a password"),
        ("http://[", "in a redirect"),
    ]
    .into_iter()
    .enumerate()
    {
        answers(&server, &format!("/{index}"), redirect_to(location)).await;
        let error = egress.get(&format!("{}/{index}", server.uri())).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{location}: {error}");
    }
}

#[tokio::test]
async fn up_to_five_redirects_are_followed_to_the_final_address() {
    let (server, reach) = server().await;
    let egress = egress(reach, &[]);
    for hop in 1..=6 {
        answers(&server, &format!("/{hop}"), redirect_to(&format!("{}#part", hop - 1))).await;
    }
    answers(&server, "/0", ResponseTemplate::new(200).set_body_raw("done", "Text/Plain; charset=utf-8")).await;
    let fetched = egress.get(&format!("{}/5", server.uri())).await.unwrap();
    assert_eq!((fetched.url.path(), fetched.status, &fetched.body[..]), ("/0", StatusCode::OK, &b"done"[..]));
    assert_eq!(fetched.content_type().as_deref(), Some("text/plain"));
    assert!(matches!(egress.get(&format!("{}/6", server.uri())).await, Err(EgressError::TooManyRedirects)));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound() {
    let (server, reach) = server().await;
    let egress = egress(reach, &[]);
    answers(&server, "/long", ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 100_000])).await;
    answers(&server, "/exact", ResponseTemplate::new(404).set_body_bytes(vec![b'x'; 1000])).await;
    let fetched = egress.get(&format!("{}/long", server.uri())).await.unwrap();
    assert_eq!((fetched.body.len(), fetched.extent), (1000, Extent::Beginning));
    let fetched = egress.get(&format!("{}/exact", server.uri())).await.unwrap();
    assert_eq!((fetched.body.len(), fetched.extent, fetched.status.as_u16()), (1000, Extent::Whole, 404));
}

#[tokio::test]
async fn a_compressed_body_is_not_taken_for_text() {
    let (server, reach) = server().await;
    answers(&server, "/", ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_string("x"))
        .await;
    let error = egress(reach, &[]).get(&server.uri()).await.unwrap_err();
    assert!(matches!(error, EgressError::Encoding(name) if name == "gzip"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let (server, reach) = server().await;
    answers(&server, "/", ResponseTemplate::new(200).set_delay(Duration::from_secs(60))).await;
    let started = std::time::Instant::now();
    assert!(matches!(egress(reach, &[]).get(&server.uri()).await, Err(EgressError::Timeout(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_posted_body_arrives_as_it_is_and_its_redirect_is_not_followed() {
    let (server, reach) = server().await;
    Mock::given(method("POST")).respond_with(redirect_to("/elsewhere")).mount(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("x-signature", HeaderValue::from_static("abc"));
    let fetched = egress(reach, &[]).post(&server.uri(), headers, Bytes::from_static(b"{\"a\":1}")).await.unwrap();
    assert_eq!(fetched.status.as_u16(), 302);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (&requests[0].body[..], requests[0].headers["x-signature"].as_bytes()),
        (&b"{\"a\":1}"[..], &b"abc"[..])
    );
}

#[tokio::test]
async fn another_port_of_this_machine_stays_closed_to_tests_too() {
    let egress = egress(Reach::PublicAndLoopback { port: 9 }, &[]);
    assert!(matches!(egress.check("http://127.0.0.1:10/").await, Err(EgressError::Port(10))));
    assert!(matches!(egress.check("http://10.0.0.1:9/").await, Err(EgressError::NotPublic(_))));
}
