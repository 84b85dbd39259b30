// A hood against low sun, clamped under the outer nut of an M18 sensor.
include <common.scad>

length = 45;
inner = 32;              // clears the nut over its corners

assert(inner >= m18_washer, "the hood does not clear the nut");

difference() {
    union() {
        cylinder(d = inner + 2 * wall, h = wall);
        cylinder(d = inner + 2 * wall, h = length);
    }
    hole(m18_hole, wall);
    translate([0, 0, wall]) cylinder(d = inner, h = length);
    translate([0, 0, length]) rotate([0, 45, 0]) translate([-60, -60, 0]) cube([120, 120, 60]);  // longer above than below
}
