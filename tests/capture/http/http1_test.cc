// HTTP/1 transcripts: RFC 9112, and what breaks it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transcript.h"

namespace vitrine::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Direction kClient = Direction::client_to_server, kServer = Direction::server_to_client;

TEST(Http1, GetAndResponse) {
  const Outcome out =
      check(Transcript()
                .client("GET /a?b=1 HTTP/1.1\r\nHost: Aster.test:8080\r\nReferer: http://x.test/\r\nOrigin: "
                        "http://x.test\r\n\r\n")
                .server("HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=UTF-8\r\nContent-Length: 5\r\n\r\nhello")
                .close_both());
  EXPECT_EQ(out.protocol, "http/1.1");
  EXPECT_EQ(
      out.log,
      "1 opened HTTP/1.1 GET http Aster.test:8080 /a?b=1 host=aster.test referer=http://x.test/ origin=http://x.test\n"
      "1 headers > [:method: GET] [:path: /a?b=1] [Host: Aster.test:8080] [Referer: http://x.test/] [Origin: "
      "http://x.test]"
      " http1-head wire=94 pieces=0+94,\n"
      "1 headers < [:status: 200] [Content-Type: Text/HTML; charset=UTF-8] [Content-Length: 5] http1-head wire=78 "
      "pieces=0+78,\n"
      "1 body < 'hello' wire=5 pieces=78+5,\n"
      "1 closed complete 200 >{seen complete type= wire=0 content=0 sha=e3b0c442 decoded=94}"
      " <{seen complete type=text/html; charset=utf-8 wire=5 content=5 sha=2cf24dba decoded=83}\n"
      "overhead >\noverhead <");
}

TEST(Http1, PipelinedRequestsPairInOrder) {
  const Outcome out = check(
      Transcript()
          .client(
              "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
              "HEAD /3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
          .server("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"
                  "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
          .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 closed complete 204"));
  EXPECT_THAT(out.log, HasSubstr("2 body > 'abc'"));
  EXPECT_THAT(out.log, HasSubstr("2 closed complete 201"));
  EXPECT_THAT(out.log, HasSubstr("3 closed complete 200"));
  EXPECT_TRUE(out.issues.empty());
}

TEST(Http1, ChunkedWithExtensionsAndTrailers) {
  const Outcome out = check(
      Transcript()
          .client("POST /u HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5;name=\"v\"\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
          .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
          .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 body > 'hello world' wire=11 pieces=74+5,84+6,"));
  EXPECT_THAT(out.log, HasSubstr("1 trailers > [X-Sum: 1]"));
  EXPECT_THAT(out.log, HasSubstr("1 closed complete 200"));
}

TEST(Http1, InformationalResponses) {
  const Outcome out =
      check(Transcript()
                .client("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
                .server("HTTP/1.1 100 Continue\r\n\r\n")
                .client("hi")
                .server("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 headers < [:status: 100]"));
  EXPECT_THAT(out.log, HasSubstr("1 headers < [:status: 103] [Link: </a>]"));
  EXPECT_THAT(out.log, HasSubstr("1 closed complete 200"));
}

TEST(Http1, UntilCloseEndsWithFinButNotWithReset) {
  Transcript t;
  t.client("GET / HTTP/1.0\r\n\r\n").server("HTTP/1.0 200 OK\r\n\r\nabc");
  Transcript reset = t;
  EXPECT_THAT(check(t.close_both()).log, HasSubstr("1 closed complete 200"));
  const Outcome cut = check(reset.close(kServer, StreamChunk::Close::reset).close(kClient));
  EXPECT_THAT(cut.log, HasSubstr("'abc' incomplete cause=truncated"));
  EXPECT_THAT(cut.log, Not(HasSubstr("closed complete")));
}

TEST(Http1, TransferEncodingWinsOverContentLength) {
  const Outcome out = check(Transcript()
                                .client("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: "
                                        "chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
                                        "GET /n HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .close_both());
  EXPECT_THAT(out.issues,
              Contains("malformed http1: both Transfer-Encoding and Content-Length; Transfer-Encoding wins"));
  EXPECT_THAT(out.log, HasSubstr("1 body > 'ab'"));
  EXPECT_THAT(out.log, HasSubstr("2 opened HTTP/1.1 GET http a.test /n"));
}

TEST(Http1, ConflictingContentLengths) {
  const Outcome out =
      check(Transcript().client("POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab").close_both());
  EXPECT_THAT(out.issues, Contains("malformed http1: invalid or conflicting Content-Length"));
  EXPECT_THAT(out.log, HasSubstr("1 body > 'ab'"));
}

TEST(Http1, ObsFoldAndBareLf) {
  const Outcome out =
      check(Transcript().client("GET / HTTP/1.1\nHost: a.test\nX-Long: one\r\n  two\nY:  z \t\n\n").close_both());
  EXPECT_THAT(out.log, HasSubstr("[X-Long: one\\r\\n  two] [Y: z]"));
  EXPECT_THAT(out.issues, Contains("decoded http1: header folded over lines (obs-fold)"));
}

TEST(Http1, BrokenStartLineIsSkippedToTheNext) {
  const Outcome out = check(Transcript()
                                .client("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n\x01\x02garbage\r\nmore: "
                                        "garbage\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("2 opened HTTP/1.1 GET http a.test /2"));
  EXPECT_THAT(out.log, HasSubstr("overhead > malformed=28"));
}

TEST(Http1, GapInKnownLengthBodyKeepsFraming) {
  const Outcome out = check(Transcript()
                                .client("POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc")
                                .gap(kClient, 4)
                                .client("hijGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 body > 'abc' incomplete cause=gap"));
  EXPECT_THAT(out.log, HasSubstr("2 opened HTTP/1.1 GET http a.test /2"));
  EXPECT_THAT(out.log, HasSubstr(" gap=7}"));
}

TEST(Http1, GapInHeadResynchronises) {
  const Outcome out = check(
      Transcript()
          .client("GET /1 HTTP/1.1\r\nHost: a.te")
          .gap(kClient, 50)
          .client("tail of a header\r\n\r\nbodybytesPOST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx")
          .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 POST http a.test /2"));
  EXPECT_THAT(out.log, HasSubstr("1 body > 'x'"));
  EXPECT_THAT(out.issues, Contains("gap http1: head cut by a gap"));
}

TEST(Http1, LostResponseDoesNotShiftPairing) {
  const Outcome out = check(Transcript()
                                .client("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .gap(kServer, 100)
                                .client("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .server("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 closed gap 0"));
  EXPECT_THAT(out.log, HasSubstr("2 closed complete 202"));
}

TEST(Http1, JoinedMidStream) {
  Transcript t;
  t.mid_stream = true;
  t.server("rest of a body\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      .client("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
      .close_both();
  const Outcome out = check(t);
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1  http   host=203.0.113.9"));
  EXPECT_THAT(out.log, HasSubstr("1 body < 'ok'"));
  EXPECT_THAT(out.log, HasSubstr("1 closed gap 200"));
  EXPECT_THAT(out.log, HasSubstr("2 opened HTTP/1.1 GET"));
  EXPECT_THAT(out.issues, Contains("gap http1: response without a request"));
}

TEST(Http1, ConnectTunnelIsUnsupported) {
  const Outcome out = check(Transcript()
                                .client("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n")
                                .server("HTTP/1.1 200 Connection established\r\n\r\n")
                                .client("\x16\x03\x01 hello")
                                .server("\x16\x03\x03 hello")
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 CONNECT http b.test:443  host=b.test"));
  EXPECT_THAT(out.log, HasSubstr("unsupported=9"));
  EXPECT_THAT(out.issues, Contains("unsupported http1: CONNECT tunnel is not read"));
}

TEST(Http1, AbsoluteForm) {
  const Outcome out =
      check(Transcript().client("GET http://Up.test:81/p?q HTTP/1.1\r\nHost: other.test\r\n\r\n").close_both());
  EXPECT_THAT(out.log, HasSubstr("opened HTTP/1.1 GET http Up.test:81 /p?q host=up.test"));
}

TEST(Http1, MalformedChunkSize) {
  const Outcome out = check(Transcript()
                                .client("POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nGET "
                                        "/2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("'abc' incomplete cause=malformed"));
  EXPECT_THAT(out.log, HasSubstr("2 opened HTTP/1.1 GET"));
}

TEST(Http1, UnknownProtocolIsUnsupported) {
  const Outcome out = check(Transcript().server("220 mail.test ESMTP\r\n").client("EHLO x.test\r\n").close_both());
  EXPECT_EQ(out.protocol, "unknown");
  EXPECT_EQ(out.log,
            "overhead > unsupported=13\noverhead < unsupported=21\nissue unsupported http: protocol not recognised");
}

TEST(Http1, EveryCutAccountsForEveryByte) {
  Transcript t;
  t.client(
      "POST /1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\nGET /2 "
      "HTTP/1.1\r\n\r\n");
  t.server("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.0 200 OK\r\n\r\nuntil close");
  for (size_t step = 0; step < 2; ++step) {
    for (size_t length = 0; length < t.steps[step].bytes.size(); ++length) {
      Transcript cut = t;
      cut.steps[step].bytes.resize(length);
      run(cut.close_both(), 0);
      Transcript hole = t;
      hole.steps.clear();
      for (size_t i = 0; i < 2; ++i) {
        if (i != step) {
          hole.steps.push_back(t.steps[i]);
          continue;
        }
        hole.add(t.steps[i].direction, t.steps[i].bytes.substr(0, length));
        hole.gap(t.steps[i].direction, 3);
        hole.add(t.steps[i].direction, t.steps[i].bytes.substr(std::min(length + 3, t.steps[i].bytes.size())));
      }
      check(hole.close_both());
      ASSERT_FALSE(HasFailure()) << "step " << step << " length " << length;
    }
  }
}

TEST(Http1, ManyHeadersAreCountedNotKept) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 5000; ++i) head += "a: b\r\n";
  const Outcome out = check(Transcript().client(head + "\r\n").close_both());
  EXPECT_THAT(out.log, HasSubstr("truncated=18000"));
  EXPECT_THAT(out.issues, Contains("truncated http: more header fields than the bound"));
}

TEST(Http1, HeadBeyondTheBound) {
  HttpLimits limits;
  limits.header_bytes = 200;
  const Outcome out = check(
      Transcript()
          .client("GET /1 HTTP/1.1\r\nX: " + std::string(300, 'x') + "\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
          .close_both(),
      limits);
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 GET http a.test /2"));
  EXPECT_THAT(out.issues, Contains("truncated http1: head exceeds the bound"));
}

}  // namespace
}  // namespace vitrine::testing
