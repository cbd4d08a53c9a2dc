// SIMULATED support widget: one WebSocket for its whole life.
(function () {
  var socket;
  function deviceId() {
    var hit = document.cookie.match(/(?:^|; )helpdesk-device-id-aster=([^;]*)/);
    if (hit) return hit[1];
    var id = crypto.randomUUID();
    document.cookie = 'helpdesk-device-id-aster=' + id + '; max-age=23328000; path=/; secure; samesite=lax';
    return id;
  }
  window.Helpdesk = {
    boot: function (user) {
      return new Promise(function (done) {
        socket = new WebSocket('wss://widget.helpdesk.test/ws?app=aster&device=' + deviceId());
        socket.onopen = function () {
          socket.send(JSON.stringify({
            type: 'boot', app: 'aster', device_id: deviceId(), user: user, page: location.href.split('#')[0],
            locale: navigator.language, user_agent: navigator.userAgent,
          }));
        };
        socket.onmessage = function () { done(); };
      });
    },
    comment: function (text) {
      return new Promise(function (done) {
        socket.onmessage = function () { done(); };
        socket.send(JSON.stringify({ type: 'comment', text: text, page: location.href.split('#')[0] }));
      });
    },
    close: function () { if (socket) socket.close(1000, 'bye'); },
  };
})();
