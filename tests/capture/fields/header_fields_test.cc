#include <gmock/gmock.h>

#include "capture/fields/set_cookie.h"
#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collected;
using testing::Collector;

TEST(HeaderFields, SetCookieWithAttributes) {
  Collector c;
  c.direction = Direction::server_to_client;
  c.head({{":status", "200"},
          {"Set-Cookie",
           "did=abc; Expires=Wed, 22 Nov 2028 10:00:00 GMT; Max-Age=31536000; Path=/; Secure; HttpOnly; SameSite=None"},
          {"Set-Cookie", "s=1"}});
  EXPECT_EQ(c.value("header::status"), "200");
  EXPECT_EQ(c.value("cookie:did"), "abc");
  EXPECT_EQ(c.find("cookie:did")->direction, Direction::server_to_client);
  EXPECT_EQ(c.value("header:set-cookie|set-cookie/did/max-age"), "31536000");
  EXPECT_EQ(c.value("header:set-cookie|set-cookie/did/expires"), "Wed, 22 Nov 2028 10:00:00 GMT");
  EXPECT_EQ(c.value("header:set-cookie|set-cookie/did/secure"), "");
  EXPECT_EQ(c.value("header:set-cookie|set-cookie/did/samesite"), "None");
  EXPECT_EQ(c.find("header:set-cookie|set-cookie/did/samesite")->name, "samesite");
  EXPECT_EQ(c.value("cookie:s"), "1");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(HeaderFields, CookieLifetime) {
  const Timestamp now = *parse_rfc3339("2026-11-22T10:00:00Z");
  EXPECT_EQ(cookie_lifetime_seconds("3600", "Wed, 22 Nov 2028 10:00:00 GMT", now), 3600) << "Max-Age wins";
  EXPECT_EQ(cookie_lifetime_seconds("", "Sun, 22 Nov 2026 11:00:00 GMT", now), 3600);
  EXPECT_EQ(cookie_lifetime_seconds("", "Sunday, 22-Nov-26 11:00:00 GMT", now), 3600) << "RFC 850";
  EXPECT_EQ(cookie_lifetime_seconds("", "Sun Nov 22 11:00:00 2026", now), 3600) << "asctime";
  EXPECT_EQ(cookie_lifetime_seconds("", "Thu, 01 Jan 1970 00:00:00 GMT", now), -1795341600);
  EXPECT_EQ(cookie_lifetime_seconds("-1", "", now), -1);
  EXPECT_EQ(cookie_lifetime_seconds("99999999999999999999", "", now), INT64_MAX);
  EXPECT_EQ(cookie_lifetime_seconds("", "", now), std::nullopt) << "a session cookie";
  EXPECT_EQ(cookie_lifetime_seconds("soon", "tomorrow", now), std::nullopt);
  EXPECT_GT(cookie_lifetime_seconds("", "Fri, 31 Dec 9999 23:59:59 GMT", now).value_or(0), 7'000'000'000);
  for (const std::string_view bad :
       {"32 Nov 2026 10:00:00", "30 Feb 2026 10:00:00", "1 Nov 2026 25:00:00", "1 Nov 1500 10:00:00", "1 Nov 2026"}) {
    EXPECT_EQ(parse_cookie_date(bad), std::nullopt) << bad;
  }
}

TEST(HeaderFields, ParsesOddSetCookies) {
  EXPECT_EQ(parse_set_cookie("novalue").value, "novalue");
  EXPECT_EQ(parse_set_cookie("novalue").name, "");
  EXPECT_EQ(parse_set_cookie("a=b=c; ;=x;;Path").value, "b=c");
  EXPECT_EQ(parse_set_cookie("a=b=c; ;=x;;Path").attributes.size(), 1u);
  EXPECT_EQ(parse_set_cookie("").name, "");
  const SetCookie spaced = parse_set_cookie("  a  =  b  ;  Max-Age  =  5  ");
  EXPECT_EQ(spaced.name, "a");
  EXPECT_EQ(spaced.value, "b");
  EXPECT_EQ(spaced.value_offset, 8u);
  EXPECT_EQ(spaced.attributes.at(0).value, "5");
}

TEST(HeaderFields, Http2HeadsReplayFromTheirRepresentation) {
  Collector c;
  c.exchange.protocol = Protocol::http2;
  std::string block = "opaque hpack bytes, sixty of them or so, it does not matter";
  std::vector<HeaderField> headers = {{":method", "GET", 0, 1},
                                      {":path", "/x/y?q=1&r=%41", 1, 9},
                                      {":authority", "aster.test", 10, 9},
                                      {"x-device-id", "B-1", 19, 6}};
  c.pieces = block;
  Part part;
  part.headers = headers;
  part.wire_bytes = block.size();
  c.extractor.part(c.exchange, part);
  EXPECT_EQ(c.value("path:method"), "GET");
  EXPECT_EQ(c.value("path"), "/x/y");
  EXPECT_EQ(c.value("query:q"), "1");
  EXPECT_EQ(c.value("query:r"), "A");
  EXPECT_EQ(c.value("header::authority"), "aster.test");
  EXPECT_EQ(c.value("header:x-device-id"), "B-1");
  EXPECT_EQ(c.find("header:x-device-id")->wire_bytes, 6u);
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(HeaderFields, TargetsOfEveryForm) {
  const auto paths = [](std::string target) {
    Collector c;
    c.exchange.path = std::move(target);
    c.head({});
    EXPECT_EQ(c.replayed, c.fields.size());
    return c.paths();
  };
  EXPECT_EQ(paths("/"), "path:method path ");
  EXPECT_EQ(paths("*"), "path:method path path:0 ");
  EXPECT_EQ(paths("http://aster.test/a/b?c=d"), "path:method path path:0 path:1 query:c ");
  EXPECT_EQ(paths("/r?u=http://x.test/"), "path:method path path:0 query:u ");
  EXPECT_EQ(paths("/s?hello%20world"), "path:method path path:0 query ");
  EXPECT_EQ(paths("/s?a&b=&=c&&d"), "path:method path path:0 query:a query:b query: query:d ");
  EXPECT_EQ(paths("/s?"), "path:method path path:0 ");
}

TEST(ConnectionFields, AddressesAndTlsUnderOrdinalZero) {
  Collector c;
  c.info.tls = true;
  TlsInfo& tls = c.info.tls_info;
  tls.client_hello_seen = tls.server_hello_seen = true;
  tls.sni = "chat.aster.test";
  tls.alpn_offered = {"h2", "http/1.1"};
  tls.alpn = "h2";
  tls.version = 0x0304;
  tls.cipher_name = "TLS_AES_128_GCM_SHA256";
  tls.ech_offered = true;
  tls.ja3 = "cd08e31494f9531f560d64c695473da9";
  tls.ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  tls.certificate_names = {"chat.aster.test", "*.aster.test"};
  c.extractor.connection(c.info, ExchangeSink::ConnectionEvent::opened);
  EXPECT_EQ(c.count, 0u) << "waits for a name";
  c.extractor.connection(c.info, ExchangeSink::ConnectionEvent::hello);
  c.extractor.opened(c.exchange);
  c.extractor.connection(c.info, ExchangeSink::ConnectionEvent::closed);
  EXPECT_EQ(c.value("connection:client-ip"), "192.0.2.10");
  EXPECT_EQ(c.value("connection:client-port"), "50000");
  EXPECT_EQ(c.value("connection:server-ip"), "203.0.113.7");
  EXPECT_EQ(c.find("connection:server-ip")->direction, Direction::server_to_client);
  EXPECT_EQ(c.value("tls:sni"), "chat.aster.test");
  EXPECT_EQ(c.value("tls:alpn-offered"), "h2,http/1.1");
  EXPECT_EQ(c.value("tls:ja4"), "t13d1516h2_8daaf6152771_b186095e22b6");
  EXPECT_EQ(c.value("tls:ech"), "true");
  EXPECT_EQ(c.find("tls:ja3")->direction, Direction::client_to_server);
  EXPECT_EQ(c.value("tls:version"), "TLS 1.3");
  EXPECT_EQ(c.find("tls:version")->direction, Direction::server_to_client);
  EXPECT_EQ(std::count_if(c.fields.begin(), c.fields.end(),
                          [](const Collected& f) { return f.path == "tls:certificate-name"; }),
            2);
  EXPECT_EQ(std::count_if(c.fields.begin(), c.fields.end(),
                          [](const Collected& f) { return f.path == "connection:client-ip"; }),
            1);
}

TEST(ConnectionFields, DnsNames) {
  Collector c;
  DnsName asked;
  asked.name = "chat.aster.test";
  asked.packet = 3;
  c.extractor.dns(c.info, asked);
  EXPECT_EQ(c.value("dns:name"), "chat.aster.test");
  EXPECT_EQ(c.find("dns:name")->location, Location::dns);
  ASSERT_NE(c.extractor.origins({7, 0}), nullptr);
  c.extractor.connection(c.info, ExchangeSink::ConnectionEvent::closed);
  EXPECT_EQ(c.extractor.origins({7, 0}), nullptr);
}

TEST(FieldExtractorLife, ClosedExchangesAreForgottenOneLater) {
  Collector c;
  c.head({{"A", "b"}});
  c.extractor.closed(c.exchange, CloseReason::complete);
  ASSERT_NE(c.extractor.origins(c.exchange.id), nullptr);
  Exchange other = c.exchange;
  other.id.ordinal = 2;
  c.extractor.opened(other);
  c.extractor.closed(other, CloseReason::complete);
  EXPECT_EQ(c.extractor.origins(c.exchange.id), nullptr);
}

}  // namespace
}  // namespace vitrine
