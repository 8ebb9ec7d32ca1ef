// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// What access(2) is asked about.
const (
	mayEnter = 1
	mayWrite = 2
)

// mostLinks is how many symbolic links are followed one after the other.
const mostLinks = 40

// locate finds the file behind symbolic links, and whether it and its folder can be
// written. It looks before anything is registered, so that little can fail afterwards.
func (d *Draft) locate() error {
	target, err := follow(d.Path)
	if err != nil {
		return err
	}
	d.target = target
	if err := checkFolder(filepath.Dir(target), d.Path); err != nil {
		return err
	}
	info, err := os.Lstat(target)
	if absentFile(err) {
		return nil
	}
	if err != nil {
		return err
	}
	d.info = info
	switch {
	case info.IsDir():
		return fmt.Errorf("%s is a folder; name a file in it", d.Path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", d.Path)
	case info.Mode().Perm()&0o222 == 0:
		return fmt.Errorf("%s is read-only (mode %04o): somebody wants it to stay as it is; chmod u+w it to add a runner", d.Path, info.Mode().Perm())
	}
	if err := syscall.Access(target, mayWrite); err != nil {
		return fmt.Errorf("%s can't be written by user %s (%w); it belongs to %s, mode %04o", d.Path, me(), err, ownerOf(info), info.Mode().Perm())
	}
	return nil
}

// checkFolder looks at the folder that the file is, or will be, in.
func checkFolder(dir, path string) error {
	info, err := os.Stat(dir)
	switch {
	case absentFile(err):
		return fmt.Errorf("the folder of %s does not exist: make %s first", path, dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	}
	if err := syscall.Access(dir, mayWrite|mayEnter); err != nil {
		return fmt.Errorf("the folder %s can't be written by user %s (%w), so %s can't be replaced as a whole; it belongs to %s, mode %04o",
			dir, me(), err, filepath.Base(path), ownerOf(info), info.Mode().Perm())
	}
	return nil
}

// follow resolves symbolic links, also of a file that is not there yet: the links stay,
// and what they lead to is written.
func follow(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for range mostLinks {
		info, err := os.Lstat(absolute)
		if err != nil || info.Mode()&os.ModeSymlink == 0 {
			return absolute, nil //nolint:nilerr // what is wrong with it is found by whoever uses it
		}
		to, err := os.Readlink(absolute)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			// ".." in it is about where the link really stands
			dir, err := filepath.EvalSymlinks(filepath.Dir(absolute))
			if err != nil {
				return "", err
			}
			to = filepath.Join(dir, to)
		}
		absolute = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// ownerOf names a file's user and group.
func ownerOf(info os.FileInfo) string {
	uid, gid, ok := ids(info)
	if !ok {
		return "somebody"
	}
	owner, group := strconv.Itoa(uid), strconv.Itoa(gid)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner + ":" + group
}

func ids(info os.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}

// me names the user who runs this.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
