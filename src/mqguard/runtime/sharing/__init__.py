"""Users and policies that several processes of one machine share: one owner stores them, and members follow it."""
