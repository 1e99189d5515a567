package deploy

import "embed"

// CDNFile is nginx as the CDN before the waiting room.
const CDNFile = "cdn.nginx.conf"

// Files are those that the program uses itself: `fairgate load wait` puts the very configuration that we ship between the
// fans and the edge.
//
//go:embed cdn.nginx.conf
var Files embed.FS
