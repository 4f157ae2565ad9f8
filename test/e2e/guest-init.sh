#!/bin/busybox sh
# The small guest: finds the card, then does what it is told on the console, one line each. Answers begin with "= ".
#   loop TEXT   through the kernel's serial driver: writes TEXT, reads back what the card loops
#   fill TEXT   straight into the card's FIFO, where it stays
#   drain       reads the FIFO until it is empty
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s /bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo

pci=
for dir in /sys/bus/pci/devices/*; do
  [ "$(cat $dir/vendor)" = 0x4348 ] && pci=${dir##*/}
done
tty=
for name in /sys/class/tty/ttyS*; do
  case $(readlink -f $name/device)/ in */${pci:-none}/*) tty=${name##*/} ;; esac
done
echo "= card ${tty:-none}"

# One byte of a register; dd's own messages are of no use here.
get() { dd if=/sys/bus/pci/devices/$pci/resource0 bs=1 skip=$1 count=1 2>/dev/null; }
put() { printf "$2" | dd of=/sys/bus/pci/devices/$pci/resource0 bs=1 seek=$1 count=1 conv=notrunc 2>/dev/null; }
status() { get 5 | od -A n -t u1 | tr -d ' '; }

while read -r command text; do
  case $command in
    loop)
      stty -F /dev/$tty raw -echo
      exec 3<>/dev/$tty
      printf %s "$text" >&3
      answer=$(dd bs=1 count=${#text} <&3 2>/dev/null)
      exec 3>&-
      echo "= loop $answer" ;;
    fill)
      put 2 '\001'
      while [ -n "$text" ]; do
        put 0 "${text%"${text#?}"}"
        text=${text#?}
      done
      echo "= filled $(status)" ;;
    drain)
      while [ $(($(status) & 1)) = 1 ]; do answer=$answer$(get 0); done
      echo "= drained $answer" ;;
    *) echo "= what is $command" ;;
  esac
  answer=
done
