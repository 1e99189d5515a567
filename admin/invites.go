package admin

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

const (
	// maxInvites is how many codes one order mints.
	maxInvites = 10_000
	// maxUses is how many places one code gives at most.
	maxUses = 100_000
	// maxInviteDays is how long a code may be good.
	maxInviteDays = 400
)

// Inviter signs an invite code; the caller fills all but the key.
type Inviter func(wire.Invite) (string, error)

type inviteBody struct {
	Count int64 `json:"count"`
	Uses  int64 `json:"uses"` // places that each gives at a time [1]
	Days  int64 `json:"days"` // how long they are good [30]
}

func (b *inviteBody) check() error {
	for _, n := range []struct {
		key         string
		value       *int64
		usual, most int64
	}{{"count", &b.Count, 0, maxInvites}, {"uses", &b.Uses, 1, maxUses}, {"days", &b.Days, 30, maxInviteDays}} {
		if *n.value == 0 {
			*n.value = n.usual
		}
		if *n.value < 1 || *n.value > n.most {
			return web.Unprocessable(n.key, fmt.Sprintf("a whole number from 1 to %d", n.most))
		}
	}
	return nil
}

// invites mints codes of a room's invited lane. They are given out once, in the answer: neither stored nor audited, only
// how many they were. Programs get JSON; a person gets a text file, one link a line.
func (a *Admin) invites(form bool) http.HandlerFunc {
	return a.users(func(w http.ResponseWriter, r *http.Request, who actor) {
		codes, room, done, err := a.mintInvites(w, r, who, form)
		switch {
		case err != nil:
			a.fail(w, r, err)
		case form:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="invites-room-%d.txt"`, room.ID))
			var b strings.Builder
			for _, c := range codes {
				fmt.Fprintf(&b, "%s/rooms/%d?invite=%s\n", strings.TrimSuffix(a.deps.ShopURL, "/"), room.ID, c)
			}
			_, _ = io.WriteString(w, b.String()) // the caller is gone if this fails
		default:
			writeJSON(w, struct {
				deed
				Codes []string `json:"codes"`
			}{done, codes})
		}
	})
}

func (a *Admin) mintInvites(w http.ResponseWriter, r *http.Request, who actor, form bool) (codes []string, room store.Room, done deed, err error) {
	var b inviteBody
	if err := decode(w, r, form, &b); err != nil {
		return nil, room, done, err
	}
	if room, err = a.room(r.Context(), r, who); err != nil {
		return nil, room, done, err
	}
	if err := b.check(); err != nil {
		return nil, room, done, err
	}
	if a.deps.Inviter == nil {
		return nil, room, done, kind(web.Conflict("There is no key to sign invite codes with. Set keys.invites: fairgate keys new makes one."),
			"no-invite-keys", "No invite codes")
	}
	done, err = a.audited(r.Context(), who, "mint-invites", roomObject(room.ID), b, func() (result, error) {
		codes, err = a.mint(&room, &b)
		return result{said: fmt.Sprintf("%d invite codes were made, for %d places each, good for %d days", b.Count, b.Uses, b.Days)}, err
	})
	return codes, room, done, err
}

func (a *Admin) mint(room *store.Room, b *inviteBody) ([]string, error) {
	now, _ := a.deps.Commands.RoomTime()
	issued := time.UnixMicro(now)
	invite := wire.Invite{Room: room.ID, Uses: uint32(b.Uses), Issued: uint32(issued.Unix()), Expires: uint32(issued.AddDate(0, 0, int(b.Days)).Unix())}
	random := make([]byte, 8*b.Count)
	if _, err := io.ReadFull(a.deps.Random, random); err != nil {
		return nil, fmt.Errorf("drawing numbers of invites: %w", err)
	}
	codes := make([]string, b.Count)
	for i := range codes {
		invite.Number = binary.LittleEndian.Uint64(random[8*i:])
		code, err := a.deps.Inviter(invite)
		if err != nil {
			return nil, err
		}
		codes[i] = code
	}
	return codes, nil
}
