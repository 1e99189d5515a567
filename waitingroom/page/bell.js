"use strict";
// A notification that is touched brings the page back.
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = event.notification.data;
  event.waitUntil(self.clients.matchAll({type: "window", includeUncontrolled: true}).then((tabs) => {
    const tab = tabs.find((t) => t.url.startsWith(url)) || tabs[0];
    return tab ? tab.focus() : self.clients.openWindow(url);
  }));
});
